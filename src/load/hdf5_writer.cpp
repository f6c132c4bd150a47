#include "load/hdf5_writer.hpp"

#include <fmt/core.h>

#include <array>
#include <string_view>
#include <utility>

namespace trainmark {
namespace {

/// Of HDF5's account of a system call that failed, the system's words alone.
std::string complaint() {
  const std::vector<std::string> frames = error_frames();
  const std::string text = frames.empty() ? "" : frames.front();
  constexpr std::string_view before = "error message = '";
  const std::size_t at = text.find(before);
  if (at == std::string::npos) return text;
  const std::size_t from = at + before.size();
  return text.substr(from, text.find('\'', from) - from);
}

/// `where` is a path, or the library for what concerns no file.
void check(herr_t status, const char* what, const std::string& where = "HDF5") {
  if (status >= 0) return;
  throw Error(ExitCode::data,
              Complaint{where, fmt::format("cannot {}: {}", what, complaint()), "the dataset is incomplete",
                        "check free space, quota and permissions, then call again: complete files stay"});
}

/// A file that could not be flushed (a full disk) cannot be closed either, and HDF5 1.10 crashes over it when the
/// process ends. Nothing here is left to be flushed then. Must come before the library's first use.
void leave_without_cleaning_up() { [[maybe_unused]] static const herr_t once = H5dont_atexit(); }

SpaceHandle space_of(const std::vector<hsize_t>& extents, bool grows = false) {
  std::vector<hsize_t> most = extents;
  if (grows) most.front() = H5S_UNLIMITED;
  return SpaceHandle(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), most.data()));
}

PropertyHandle without_times() {
  PropertyHandle properties(H5Pcreate(H5P_DATASET_CREATE));
  check(H5Pset_obj_track_times(properties.get(), false), "switch off object times");
  return properties;
}

TypeHandle fixed_string(std::size_t length) {
  TypeHandle type(H5Tcopy(H5T_C_S1));
  check(H5Tset_size(type.get(), length > 0 ? length : 1), "make a string type");
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "make a string type");
  return type;
}

void write_attribute(hid_t object, const std::string& name, hid_t stored, hid_t type, const void* value) {
  const SpaceHandle space(H5Screate(H5S_SCALAR));
  using AttributeHandle = Handle<HidTraits<H5Aclose>>;
  const AttributeHandle attribute(H5Acreate2(object, name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT));
  check(H5Awrite(attribute.get(), type, value), "write an attribute");
}

void write_text(hid_t object, const std::string& name, const std::string& value) {
  const TypeHandle type = fixed_string(value.size());
  write_attribute(object, name, type.get(), type.get(), value.data());
}

struct FileType {
  hid_t little, big, memory;
};
FileType type_of(Number number) {
  const std::array<FileType, 10> types = {{{H5T_STD_I8LE, H5T_STD_I8BE, H5T_NATIVE_INT8},
                                           {H5T_STD_U8LE, H5T_STD_U8BE, H5T_NATIVE_UINT8},
                                           {H5T_STD_I16LE, H5T_STD_I16BE, H5T_NATIVE_INT16},
                                           {H5T_STD_U16LE, H5T_STD_U16BE, H5T_NATIVE_UINT16},
                                           {H5T_STD_I32LE, H5T_STD_I32BE, H5T_NATIVE_INT32},
                                           {H5T_STD_U32LE, H5T_STD_U32BE, H5T_NATIVE_UINT32},
                                           {H5T_STD_I64LE, H5T_STD_I64BE, H5T_NATIVE_INT64},
                                           {H5T_STD_U64LE, H5T_STD_U64BE, H5T_NATIVE_UINT64},
                                           {H5T_IEEE_F32LE, H5T_IEEE_F32BE, H5T_NATIVE_FLOAT},
                                           {H5T_IEEE_F64LE, H5T_IEEE_F64BE, H5T_NATIVE_DOUBLE}}};
  return types.at(static_cast<std::size_t>(number));
}
hid_t stored_type(Number number, bool big_endian) { return big_endian ? type_of(number).big : type_of(number).little; }

}  // namespace

Hdf5Writer::Hdf5Writer(const std::filesystem::path& path, std::string subject) : subject_(std::move(subject)) {
  leave_without_cleaning_up();
  const Hdf5Lock lock;
  const PropertyHandle access(H5Pcreate(H5P_FILE_ACCESS));
  // The partial file holds a lock of its own, and some parallel file systems have none.
  check(H5Pset_file_locking(access.get(), false, true), "leave out file locking");
  create(path, access.get());
}

Hdf5Writer::Hdf5Writer(std::string subject) : subject_(std::move(subject)) {
  constexpr std::size_t grows_by = 1 << 20;
  const Hdf5Lock lock;
  const PropertyHandle access(H5Pcreate(H5P_FILE_ACCESS));
  check(H5Pset_fapl_core(access.get(), grows_by, false), "keep the file in memory");
  create(subject_, access.get());
}

void Hdf5Writer::create(const std::filesystem::path& path, hid_t access) {
  check(H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18), "fix the format's version");
  const PropertyHandle creation(H5Pcreate(H5P_FILE_CREATE));
  check(H5Pset_obj_track_times(creation.get(), false), "switch off object times");
  file_ = FileHandle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access));
  check(file_ ? 0 : -1, "create the file", subject_);
}

Hdf5Writer::~Hdf5Writer() {
  const Hdf5Lock lock;  // also keeps the library from printing why an incomplete file cannot be closed
  file_.reset();
}

void Hdf5Writer::group(const std::string& name) {
  const Hdf5Lock lock;
  const PropertyHandle creation(H5Pcreate(H5P_GROUP_CREATE));
  check(H5Pset_obj_track_times(creation.get(), false), "switch off object times");
  using GroupHandle = Handle<HidTraits<H5Gclose>>;
  const GroupHandle made(H5Gcreate2(file_.get(), name.c_str(), H5P_DEFAULT, creation.get(), H5P_DEFAULT));
  check(made ? 0 : -1, "create a group", subject_);
}

void Hdf5Writer::dataset(const std::string& name, Number number, const std::vector<hsize_t>& extents,
                         const Packing& packing) {
  const Hdf5Lock lock;
  const PropertyHandle properties = without_times();
  if (!packing.chunk.empty()) {
    check(H5Pset_chunk(properties.get(), static_cast<int>(packing.chunk.size()), packing.chunk.data()), "set chunks");
    if (packing.gzip > 0) {
      check(H5Pset_shuffle(properties.get()), "set the shuffle filter");
      check(H5Pset_deflate(properties.get(), static_cast<unsigned>(packing.gzip)), "set the deflate filter");
    }
  } else {
    check(H5Pset_alloc_time(properties.get(), H5D_ALLOC_TIME_EARLY), "allocate early");
    check(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), "leave out filling");
  }
  const SpaceHandle space = space_of(extents, packing.grows);
  const DatasetHandle dataset(H5Dcreate2(file_.get(), name.c_str(), stored_type(number, packing.big_endian),
                                         space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT));
  check(dataset ? 0 : -1, "create a dataset", subject_);
}

void Hdf5Writer::write(const std::string& name, hsize_t first, hsize_t rows, Number number,
                       std::span<const std::byte> values) {
  const Hdf5Lock lock;
  const DatasetHandle dataset(H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT));
  SpaceHandle space(H5Dget_space(dataset.get()));
  std::vector<hsize_t> count(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), count.data(), nullptr);
  if (first + rows > count[0]) {
    count[0] = first + rows;
    check(H5Dset_extent(dataset.get(), count.data()), "add to a dataset", subject_);
    space = SpaceHandle(H5Dget_space(dataset.get()));
  }
  std::vector<hsize_t> start(count.size(), 0);
  start[0] = first;
  count[0] = rows;
  check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr), "select");
  const SpaceHandle memory = space_of(count);
  TRAINMARK_CHECK(
      static_cast<std::size_t>(H5Sget_simple_extent_npoints(memory.get())) * size_of(number) == values.size(), name);
  check(H5Dwrite(dataset.get(), type_of(number).memory, memory.get(), space.get(), H5P_DEFAULT, values.data()),
        "write numbers", subject_);
}

void Hdf5Writer::values(const std::string& name, Number number, const std::vector<hsize_t>& extents,
                        std::span<const std::byte> values, bool big_endian) {
  const Hdf5Lock lock;
  const SpaceHandle space = space_of(extents);
  TRAINMARK_CHECK(
      static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())) * size_of(number) == values.size(), name);
  const PropertyHandle properties = without_times();
  const DatasetHandle dataset(H5Dcreate2(file_.get(), name.c_str(), stored_type(number, big_endian), space.get(),
                                         H5P_DEFAULT, properties.get(), H5P_DEFAULT));
  check(H5Dwrite(dataset.get(), type_of(number).memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "write numbers",
        subject_);
}

void Hdf5Writer::strings(const std::string& name, const std::vector<std::string>& values) {
  const Hdf5Lock lock;
  std::size_t length = 1;
  for (const std::string& value : values)
    length = std::max(length, value.size());
  std::string packed;
  for (const std::string& value : values)
    packed += value + std::string(length - value.size(), '\0');
  const TypeHandle type = fixed_string(length);
  const SpaceHandle space = space_of({values.size()});
  const PropertyHandle properties = without_times();
  const DatasetHandle dataset(
      H5Dcreate2(file_.get(), name.c_str(), type.get(), space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT));
  check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, packed.data()), "write names", subject_);
}

void Hdf5Writer::attribute(const std::string& name, const std::string& value) {
  const Hdf5Lock lock;
  write_text(file_.get(), name, value);
}
void Hdf5Writer::attribute(const std::string& name, std::uint64_t value) {
  const Hdf5Lock lock;
  write_attribute(file_.get(), name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &value);
}
void Hdf5Writer::unit(const std::string& dataset, const std::string& value) {
  const Hdf5Lock lock;
  const DatasetHandle handle(H5Dopen2(file_.get(), dataset.c_str(), H5P_DEFAULT));
  write_text(handle.get(), "units", value);
}

std::vector<std::byte> Hdf5Writer::image() const {
  const Hdf5Lock lock;
  check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "complete the file", subject_);
  const ssize_t bytes = H5Fget_file_image(file_.get(), nullptr, 0);
  check(bytes < 0 ? -1 : 0, "take the file's content", subject_);
  std::vector<std::byte> content(static_cast<std::size_t>(bytes));
  check(H5Fget_file_image(file_.get(), content.data(), content.size()) < 0 ? -1 : 0, "take the file's content",
        subject_);
  return content;
}

void Hdf5Writer::close() {
  const Hdf5Lock lock;
  check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "flush", subject_);
  file_.reset();
}

std::string read_attribute(const std::filesystem::path& path, const std::string& name) {
  leave_without_cleaning_up();
  const Hdf5Lock lock;
  FileHandle file;
  try {
    file = open_file(path);  // without file locks: some parallel file systems have none
  } catch (const Error&) {
    return {};
  }
  if (H5Aexists(file.get(), name.c_str()) <= 0) return {};
  using AttributeHandle = Handle<HidTraits<H5Aclose>>;
  const AttributeHandle attribute(H5Aopen(file.get(), name.c_str(), H5P_DEFAULT));
  const TypeHandle type(H5Aget_type(attribute.get()));
  if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0) return {};
  std::string value(H5Tget_size(type.get()), '\0');
  if (H5Aread(attribute.get(), type.get(), value.data()) < 0) return {};
  return value.substr(0, value.find('\0'));
}

}  // namespace trainmark
