// Energy by counters in files of the tests' own: packages that begin anew, a node's counter that stands for them, and
// nothing where nothing can be read.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "run/record/energy.hpp"

namespace trainmark {
namespace {

class Counters : public ::testing::Test {
 protected:
  void SetUp() override {
    root = ::testing::TempDir() + "trainmark-energy-" + std::to_string(getpid());
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root);
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text << '\n';
  }
  void domain(const std::string& name, const std::string& what, std::int64_t microjoules) const {
    const std::string folder = "class/powercap/" + name + "/";
    write(folder + "name", what);
    write(folder + "max_energy_range_uj", "1000000");
    write(folder + "energy_uj", std::to_string(microjoules));
  }
  std::filesystem::path root;
};

TEST_F(Counters, SumPackagesAndNotTheirParts) {
  domain("intel-rapl:0", "package-0", 100'000);
  domain("intel-rapl:1", "package-1", 200'000);
  domain("intel-rapl:0:0", "core", 0);
  domain("intel-rapl:2", "psys", 0);
  EnergyCounters counters(root);
  ASSERT_EQ(counters.source(), EnergySource::rapl);
  counters.read();
  EXPECT_FALSE(counters.joules()) << "one reading is no energy";
  domain("intel-rapl:0", "package-0", 350'000);
  domain("intel-rapl:1", "package-1", 300'000);
  domain("intel-rapl:0:0", "core", 900'000);
  domain("intel-rapl:2", "psys", 900'000);
  counters.read();
  EXPECT_NEAR(counters.joules().value(), 0.25 + 0.1, 1e-9);
}

TEST_F(Counters, GoOnWhereACounterBeginsAnew) {
  domain("intel-rapl:0", "package-0", 900'000);
  EnergyCounters counters(root);
  counters.read();
  domain("intel-rapl:0", "package-0", 50'000);
  counters.read();
  EXPECT_NEAR(counters.joules().value(), 0.15, 1e-9);
  domain("intel-rapl:0", "package-0", 20'000);
  counters.read();
  EXPECT_NEAR(counters.joules().value(), 0.15 + 0.97, 1e-9);
}

TEST_F(Counters, OfTheWholeNodeStandForItsPackages) {
  domain("intel-rapl:0", "package-0", 0);
  write("cray/pm_counters/energy", "5000 J 1700000000 us");
  EnergyMeter meter(true, root);
  domain("intel-rapl:0", "package-0", 500'000);
  write("cray/pm_counters/energy", "5750 J 1700000009 us");
  const auto used = meter.stop();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->source, EnergySource::cray);
  EXPECT_DOUBLE_EQ(used->joules, 750.0);
}

TEST_F(Counters, TellNothingWhereThereIsNothingOrSomeOfIt) {
  EXPECT_FALSE(EnergyMeter(true, root).stop());
  domain("intel-rapl:0", "package-0", 0);
  EXPECT_FALSE(EnergyMeter(false, root).stop()) << "another rank of the node reads";
  EXPECT_TRUE(EnergyMeter(true, root).stop());
  domain("intel-rapl:1", "package-1", 0);
  std::filesystem::remove(root / "class/powercap/intel-rapl:1/energy_uj");
  EXPECT_FALSE(EnergyMeter(true, root).stop()) << "half of a node's packages are no node";
  domain("intel-rapl:1", "package-1", 0);
  EnergyMeter meter(true, root);
  write("class/powercap/intel-rapl:1/energy_uj", "");
  EXPECT_FALSE(meter.stop()) << "a counter that went away in between";
}

}  // namespace
}  // namespace trainmark
