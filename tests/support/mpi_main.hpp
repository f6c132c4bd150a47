// What a test of several ranks needs: the world it runs in. Failures of any rank fail the program.
#pragma once

#include "trainmark/comm.hpp"

/// The world of this test program, made before the first test.
const trainmark::World& test_world();
