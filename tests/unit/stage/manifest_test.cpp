// The list of a dataset's files, beside the data and in the journals of runs under way.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "stage/journal.hpp"
#include "stage/manifest.hpp"
#include "unit/stage/scratch.hpp"

namespace trainmark {
namespace {

using testing::expect_data_error;
using testing::manifest_of;
using testing::Scratch;
using testing::write_file;

TEST(Manifest, ReadsWhatItWrote) {
  const Scratch folder;
  EXPECT_FALSE(read_manifest(folder.path()).has_value());
  Manifest manifest = manifest_of({3, 4});
  manifest.entries[0].name = "a folder/ä name.hdf5";
  manifest.entries[0].xxh3 = "0123456789abcdef0123456789abcdef";
  manifest.entries[1].modified_ns = 1'700'000'000'123'456'789;
  manifest.entries[1].stamp = 0xfedcba9876543210;
  manifest.source = "/data/a folder";
  write_manifest(folder.path(), manifest);
  const Manifest read = read_manifest(folder.path()).value();
  ASSERT_EQ(read.entries.size(), 2U);
  EXPECT_EQ(read.entries[0].name, manifest.entries[0].name);
  EXPECT_EQ(read.entries[0].xxh3, manifest.entries[0].xxh3);
  EXPECT_EQ(read.entries[1].xxh3, "");
  EXPECT_EQ(read.entries[1].modified_ns, manifest.entries[1].modified_ns);
  EXPECT_EQ(read.entries[0].stamp, 0U);
  EXPECT_EQ(read.entries[1].stamp, 0xfedcba9876543210U);
  EXPECT_EQ(read.source, "/data/a folder");
  EXPECT_EQ(read.version, 3);
  EXPECT_EQ(read.samples(), 7);
  EXPECT_EQ(read.bytes(), 200);
  manifest.source = "/data/two\nlines";  // cannot stand in a line, so it vouches for nothing
  write_manifest(folder.path(), manifest);
  EXPECT_EQ(read_manifest(folder.path()).value().source, "");
}

TEST(Manifest, IsNotTakenForNoneWhereItCannotBeRead) {
  const Scratch folder;
  const auto path = folder.path() / manifest_name;
  std::filesystem::create_directory(path);
  expect_data_error([&] { (void)read_manifest(folder.path()); }, {std::string(manifest_name), "is a folder"});
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  expect_data_error([&] { (void)read_manifest(folder.path()); }, {std::string(manifest_name), "is a named pipe"});
  std::filesystem::remove(path);
  std::filesystem::create_symlink(manifest_name, path);
  expect_data_error([&] { (void)read_manifest(folder.path()); }, {std::string(manifest_name), "cannot be opened"});
  std::filesystem::remove(path);
  std::filesystem::create_symlink("gone", path);
  expect_data_error([&] { (void)read_manifest(folder.path()); }, {std::string(manifest_name), "leads nowhere"});
  std::filesystem::remove(path);
  write_manifest(folder.path(), manifest_of({3}));
  std::filesystem::permissions(path, std::filesystem::perms::none);
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  const testing::AsNobody nobody;
  if (geteuid() == 0) GTEST_SKIP() << "needs the right to become another user";
  expect_data_error([&] { (void)read_manifest(folder.path()); }, {std::string(manifest_name), "Permission denied"});
}

TEST(Manifest, RefusesANameThatEscapesItsFolder) {
  const Scratch folder;
  for (const std::string name :
       {"../a", "/a", "a/../../b", "a//b", "./a", "", "a\tb", "a\x7f", "..", "a/..", "a/", "a/.", "."}) {
    Manifest manifest = manifest_of({1});
    manifest.entries[0].name = name;
    expect_data_error([&] { write_manifest(folder.path(), manifest); }, {"is refused"});
    write_file(folder.path() / manifest_name, "trainmark manifest 2\nsource\t-\n-\t1\t1\t1\t0\t" + name + "\nend 1\n");
    expect_data_error([&] { (void)read_manifest(folder.path()); }, {"trainmark.manifest:3"});
  }
}

TEST(Manifest, RefusesTextThatIsCutShortOutOfOrderOrNoManifest) {
  const Scratch folder;
  const auto read = [&](const std::string& text) {
    write_file(folder.path() / manifest_name, text);
    return [&] { (void)read_manifest(folder.path()); };
  };
  const std::string head = "trainmark manifest 2\nsource\t/data\n", a = "-\t1\t1\t1\t0\ta\n", b = "-\t1\t1\t1\t0\tb\n";
  expect_data_error(read("hello\n"), {"trainmark.manifest:1", "does not begin with", "verify FOLDER --write`"});
  expect_data_error(read("trainmark manifest 2\r\nsource\t-\r\nend 0\r\n"), {"trainmark.manifest:1", "CR LF"});
  expect_data_error(read(std::string("\x1f\x8b\x08\0", 4)), {"is compressed by gzip, not a manifest"});
  expect_data_error(read(std::string("\xff\xfet\0", 4)), {"is UTF-16 text, not a manifest"});
  expect_data_error(read(head + a), {"is cut short after 1 entries"});
  expect_data_error(read(head + a + "end 2\n"), {"trainmark.manifest:4"});
  expect_data_error(read(head + b + a + "end 2\n"), {"out of order"});
  expect_data_error(read(head + a + a + "end 2\n"), {"there twice"});
  expect_data_error(read(head + "xyz\t1\t1\t1\t0\ta\nend 1\n"), {"trainmark.manifest:3", "hash"});
  expect_data_error(read(head + "-\t-1\t1\t1\t0\ta\nend 1\n"), {"trainmark.manifest:3"});
  expect_data_error(read(head + "-\t1\t1\t1\ta\nend 1\n"), {"trainmark.manifest:3"});
  for (const std::string& hash : {std::string(31, 'a'), std::string(33, 'a'), std::string(32, 'A')})
    expect_data_error(read(head + hash + "\t1\t1\t1\t0\ta\nend 1\n"), {"trainmark.manifest:3", "hash"});
  expect_data_error(read("trainmark manifest 2\n" + a + "end 1\n"), {"trainmark.manifest:2", "name its source"});
}

TEST(Manifest, OfTheThirdVersionIsReadOnlyAsItWasWritten) {
  const Scratch folder;
  Manifest manifest = manifest_of({3, 4, 5});
  manifest.entries[1].layout = {std::make_shared<const std::string>("a form"), "2048 96"};
  const std::string text = to_text(manifest);
  EXPECT_EQ(to_text(parse_manifest(text, "m")), text);
  for (std::size_t at = text.find('\n') + 1; at + 1 < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    expect_data_error([&] { (void)parse_manifest(changed, "m"); }, {"m:"});
  }
  std::string moved = text;
  moved.replace(moved.find("2048"), 4, "2056");
  expect_data_error([&] { (void)parse_manifest(moved, "m"); },
                    {"m:8", "another hash than the lines before it", "verify FOLDER --write`"});
}

TEST(Manifest, ListsLayoutsOnceForFilesInARow) {
  Manifest manifest = manifest_of({1, 1, 1, 1, 1, 1});
  const auto form = std::make_shared<const std::string>("alike"), other = std::make_shared<const std::string>("other");
  manifest.entries[0].layout = manifest.entries[1].layout = manifest.entries[2].layout = {form, "8"};
  manifest.entries[3].layout = {other, "8"};
  manifest.entries[4].layout = {std::make_shared<const std::string>("alike"), "16"};
  EXPECT_EQ(layouts_text(manifest.entries), "form\talike\nat\t0-2\t8\nat\t4-4\t16\nform\tother\nat\t3-3\t8\n");
  const Manifest read = parse_manifest(to_text(manifest), "m");
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_EQ(read.entries[i].layout, manifest.entries[i].layout) << i;
  EXPECT_EQ(read.entries[0].layout.form, read.entries[4].layout.form) << "one text in memory";
  EXPECT_FALSE(read.entries[5].layout.form);
  EXPECT_FALSE(read.entries[0].layout == read.entries[3].layout);
  EXPECT_FALSE(read.entries[0].layout == read.entries[4].layout);
  EXPECT_FALSE(read.entries[0].layout == read.entries[5].layout);

  std::vector<ManifestEntry> told(6);
  take_layouts(layouts_text(manifest.entries), told);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_EQ(told[i].layout, manifest.entries[i].layout) << i;
  EXPECT_EQ(layouts_text(std::vector<ManifestEntry>(3)), "");
}

TEST(Manifest, RefusesLayoutsOfEntriesThatItDoesNotHave) {
  const std::string head = to_text(manifest_of({1, 1})), entries = head.substr(0, head.find("end "));
  const auto read = [&](const std::string& layouts) {
    const std::string text = entries + layouts;
    return [text] { (void)parse_manifest(text + end_text(text, 2), "m"); };
  };
  EXPECT_NO_THROW(read("form\tf\nat\t0-1\t8\n")());
  for (const char* at : {"at\t0-2\t8", "at\t1-0\t8", "at\t-1-0\t8", "at\t0\t8", "at\t0-1", "at\t0-1 8", "at\tx-1\t8",
                         "at", "at\t0-99999999999999999999\t8", "-\t1\t1\t1\t0\tz", "", "hello"})
    expect_data_error(read(std::string("form\tf\n") + at + "\n"), {"m:6", "is not 'form, layout' or 'at, "});
  expect_data_error(read("form\tf\nat\t0-1\t8\nform\tg\nat\t1-1\t8\n"), {"m:8", "is not 'form, layout'"});
  expect_data_error(read("at\t0-1\t8\n"), {"m:5", "is not 'hash, "});
}

TEST(Manifest, TakesJournalsOfTheSecondVersionToo) {
  const Scratch folder;
  const std::string entry = to_line(manifest_of({3}).entries.front());
  for (const char* version : {"2", "3", "1", "4"}) {
    write_file(folder.path() / ".trainmark.journal.0",
               std::string("\ntrainmark manifest ") + version + "\nsource\t/a\n" + entry);
    Manifest known, other;
    known.source = "/a";
    other.source = "/b";
    read_journals(folder.path(), known);
    read_journals(folder.path(), other);
    EXPECT_EQ(known.entries.size(), *version == '2' || *version == '3' ? 1U : 0U) << version;
    EXPECT_EQ(other.entries.size(), 0U) << version;
  }
}

TEST(Manifest, HoldsUpToAPebibyteAFileSoThatSumsStayFarFromOverflow) {
  const Scratch folder;
  const auto read = [&](const std::string& bytes, const std::string& samples) {
    write_file(folder.path() / manifest_name,
               "trainmark manifest 2\nsource\t-\n-\t" + bytes + "\t" + samples + "\t1\t0\ta\nend 1\n");
    return read_manifest(folder.path()).value();
  };
  const Manifest most = read("1125899906842624", "1125899906842624");
  EXPECT_EQ(most.bytes(), std::int64_t{1} << 50);
  EXPECT_EQ(most.samples(), std::int64_t{1} << 50);
  expect_data_error([&] { (void)read("1125899906842625", "1"); }, {"trainmark.manifest:3"});
  expect_data_error([&] { (void)read("1", "1125899906842625"); }, {"trainmark.manifest:3"});
}

TEST(Manifest, ReadsTheFirstVersionAndRefusesOnesItDoesNotKnow) {
  const Scratch folder;
  write_file(folder.path() / manifest_name, "trainmark manifest 1\n-\t1\t2\t3\ta b\nend 1\n");
  const Manifest first = read_manifest(folder.path()).value();
  EXPECT_EQ(first.version, 1);
  EXPECT_EQ(first.source, "");
  ASSERT_EQ(first.entries.size(), 1U);
  EXPECT_EQ(first.entries[0].name, "a b");
  EXPECT_EQ(first.entries[0].samples, 2);
  EXPECT_EQ(first.entries[0].stamp, 0U);
  for (const std::string version : {"4", "0", "-1", "2x", "", "99999999999"}) {
    write_file(folder.path() / manifest_name, "trainmark manifest " + version + "\nsource\t-\nend 0\n");
    expect_data_error([&] { (void)read_manifest(folder.path()); },
                      {"trainmark.manifest:1", "this program reads versions 1 to 3"});
  }
}

TEST(Manifest, TellsNoFileFromAnotherWithoutAnInodeAndATimeThatNobodyCanSet) {
  const Scratch folder;
  struct stat first {
  }, second{}, written{};
  write_file(folder.path() / "a", "text");
  write_file(folder.path() / "b", "text");
  ASSERT_EQ(stat((folder.path() / "a").c_str(), &first), 0);
  ASSERT_EQ(stat((folder.path() / "b").c_str(), &second), 0);
  EXPECT_NE(stamp_of(first), 0U);
  EXPECT_EQ(stamp_of(first), stamp_of(first));
  EXPECT_NE(stamp_of(first), stamp_of(second));
  written = first;
  ++written.st_ctim.tv_nsec;
  EXPECT_NE(stamp_of(first), stamp_of(written));
  written = first;
  ++written.st_ctim.tv_sec;
  EXPECT_NE(stamp_of(first), stamp_of(written));
}

TEST(Manifest, TakesTimesForTheSameThatAFileSystemOfWholeSecondsMadeSo) {
  constexpr std::int64_t second = 1'000'000'000;
  EXPECT_TRUE(same_time(7 * second + 5, 7 * second + 5));
  EXPECT_TRUE(same_time(7 * second + 5, 7 * second));
  EXPECT_TRUE(same_time(7 * second, 7 * second + 999'999'999));
  for (const std::int64_t kept : {123'456'700, 123'456'000, 123'000'000, 120'000'000})
    EXPECT_TRUE(same_time(7 * second + 123'456'789, 7 * second + kept)) << kept;
  EXPECT_FALSE(same_time(7 * second + 123'456'789, 7 * second + 123'000'001));
  EXPECT_FALSE(same_time(7 * second + 5, 7 * second + 6));
  EXPECT_FALSE(same_time(7 * second, 8 * second));
  EXPECT_FALSE(same_time(7 * second + 5, 8 * second));
}

TEST(Manifest, IsComparedWithWhatIsThere) {
  Manifest listed = manifest_of({1, 1, 1, 1, 1}), found = listed;
  for (Manifest* each : {&listed, &found}) {
    for (ManifestEntry& entry : each->entries)
      entry.modified_ns = 1'700'000'000'123'456'789;
  }
  EXPECT_EQ(manifest_differences(listed, found), std::vector<std::string>{});
  found.entries[0].stamp = 5;
  found.entries[0].samples = 9;
  found.entries[0].xxh3 = "00000000000000000000000000000000";
  EXPECT_EQ(manifest_differences(listed, found), std::vector<std::string>{}) << "those are looked at elsewhere";
  found.entries[1].bytes = 99;
  ++found.entries[2].modified_ns;
  found.entries[3].name = "f1003a";
  EXPECT_EQ(manifest_differences(listed, found),
            (std::vector<std::string>{"f1001 has 99 bytes instead of 100", "f1002 was written at another time",
                                      "f1003 is missing", "f1003a is not listed"}));
  EXPECT_EQ(written_at_other_times(listed, found), std::vector<std::string>{"f1002"});
  require_as_listed("/data", listed, listed);
  expect_data_error([&] { require_as_listed("/data", listed, found); },
                    {"/data/trainmark.manifest", "4 of the files are not as it lists them",
                     "f1001 has 99 bytes instead of 100; f1002 was written at another time; f1003 is missing; ...",
                     "`trainmark data verify /data --write`"});
}

TEST(Manifest, NamesAsWrittenAtOtherTimesOnlyFilesOfTheSizeListed) {
  Manifest listed = manifest_of({1, 1, 1, 1}), found = listed;
  for (ManifestEntry& entry : listed.entries)
    entry.modified_ns = 1'700'000'000'123'456'789;
  found.entries[0].modified_ns = listed.entries[0].modified_ns;
  found.entries[1].bytes = 99;
  found.entries[3].name = "f1003a";
  EXPECT_EQ(written_at_other_times(listed, found), std::vector<std::string>{"f1002"});
}

TEST(Journal, LeavesOutATornLineAndNamesThatEscape) {
  const Scratch folder;
  Manifest manifest = manifest_of({1, 2, 3});
  manifest.entries[0].stamp = 0xabc;
  {
    Journal first(folder.path(), 0, "/data/a"), second(folder.path(), 1, "/data/a");
    first.note(manifest.entries[1]);
    second.note(manifest.entries[0]);
  }
  std::ofstream(folder.path() / ".trainmark.journal.0", std::ios::app) << "-\t1\t1\t1\t0\t../x\n-\t1\t1\t1\t0\ttorn";
  Manifest known;
  known.source = "/data/a";
  read_journals(folder.path(), known);
  ASSERT_EQ(known.entries.size(), 2U);
  EXPECT_EQ(known.entries[0].name, "f1000");
  EXPECT_EQ(known.entries[0].stamp, 0xabcU);
  EXPECT_EQ(known.entries[1].samples, 2);
  // The next run goes on in the same file, on a line of its own.
  Journal(folder.path(), 0, "/data/a").note(manifest.entries[2]);
  read_journals(folder.path(), known);
  EXPECT_EQ(known.entries.back().name, "torn") << "its size, time and stamp are those of no file";
  EXPECT_EQ(known.entries[2].name, "f1002");
  remove_journals(folder.path());
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(Journal, VouchesForFilesOfItsOwnSourceOnly) {
  const Scratch folder;
  const Manifest manifest = manifest_of({1, 2, 3});
  Journal(folder.path(), 0, "/data/a").note(manifest.entries[0]);
  Journal(folder.path(), 0, "/data/b").note(manifest.entries[1]);
  Journal(folder.path(), 0, "/data/a").note(manifest.entries[2]);
  write_file(folder.path() / ".trainmark.journal.1", "-\t1\t1\t1\t0\tunheaded\n");
  Manifest known;
  known.source = "/data/b";
  read_journals(folder.path(), known);
  ASSERT_EQ(known.entries.size(), 1U);
  EXPECT_EQ(known.entries[0].name, "f1001");
}

}  // namespace
}  // namespace trainmark
