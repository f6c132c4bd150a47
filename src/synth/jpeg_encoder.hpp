// Pictures as JPEGs in memory.
#pragma once

#include <cstddef>
#include <vector>

#include "synth/picture.hpp"

namespace trainmark::synth {

struct JpegForm {
  int quality = 90;           ///< of libjpeg, 1 to 100
  bool halves_colour = true;  ///< 4:2:0, as cameras write it; else 4:4:4
  bool progressive = false;
};

/// A JFIF file's bytes, which depend on pixels and form alone (with one version of the library).
[[nodiscard]] std::vector<std::byte> encode_jpeg(const Picture& picture, const JpegForm& form);

}  // namespace trainmark::synth
