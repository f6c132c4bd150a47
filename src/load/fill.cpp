#include "load/fill.hpp"

#include <algorithm>
#include <array>

namespace trainmark {
namespace {

/// In floating point: extents of a damaged header may be anything.
double chunks_needed(hid_t creation, const SpaceHandle& space) {
  std::array<hsize_t, H5S_MAX_RANK> dims{}, chunk{};
  const int rank = H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  if (H5Pget_chunk(creation, H5S_MAX_RANK, chunk.data()) != rank) return 0.0;  // whoever describes it says so
  double chunks = 1.0;
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(rank); ++axis) {
    const hsize_t extent = std::max<hsize_t>(chunk[axis], 1);
    chunks *= static_cast<double>(dims[axis] / extent + (dims[axis] % extent != 0 ? 1 : 0));
  }
  return chunks;
}

/// How many elements of a virtual dataset come from a source. Those of several count once.
hssize_t elements_mapped(hid_t creation, const SpaceHandle& space) {
  H5Sselect_none(space.get());
  std::size_t count = 0;
  H5Pget_virtual_count(creation, &count);
  for (std::size_t i = 0; i < count; ++i) {
    const SpaceHandle into(H5Pget_virtual_vspace(creation, i));
    if (H5Sget_select_type(into.get()) != H5S_SEL_HYPERSLABS) {
      if (H5Sget_select_type(into.get()) == H5S_SEL_ALL) return H5Sget_simple_extent_npoints(space.get());
      continue;
    }
    if (H5Sget_select_type(space.get()) == H5S_SEL_NONE) {
      H5Sselect_copy(space.get(), into.get());
    } else {
      H5Smodify_select(space.get(), H5S_SELECT_OR, into.get());
    }
  }
  return H5Sget_select_npoints(space.get());
}

}  // namespace

Fill fill_of(hid_t creation) {
  H5D_fill_value_t defined = H5D_FILL_VALUE_UNDEFINED;
  H5D_fill_time_t time = H5D_FILL_TIME_NEVER;
  H5Pfill_value_defined(creation, &defined);
  H5Pget_fill_time(creation, &time);
  if (defined == H5D_FILL_VALUE_UNDEFINED || time == H5D_FILL_TIME_NEVER) return Fill::nothing;
  if (defined == H5D_FILL_VALUE_DEFAULT) return Fill::zero;
  double value = 1.0;
  return H5Pget_fill_value(creation, H5T_NATIVE_DOUBLE, &value) >= 0 && value == 0.0 ? Fill::zero : Fill::other;
}

bool holds_nothing(hid_t dataset, hid_t creation) {
  if (fill_of(creation) != Fill::nothing) return false;
  const SpaceHandle space(H5Dget_space(dataset));
  hsize_t written = 0;
  switch (H5Pget_layout(creation)) {
    case H5D_CHUNKED:
      return H5Dget_num_chunks(dataset, space.get(), &written) < 0 ||
             static_cast<double>(written) < chunks_needed(creation, space);
    case H5D_CONTIGUOUS:
      return H5Pget_external_count(creation) == 0 && H5Dget_offset(dataset) == HADDR_UNDEF;
    case H5D_VIRTUAL:
      return elements_mapped(creation, space) < H5Sget_simple_extent_npoints(space.get());
    default:
      return false;
  }
}

}  // namespace trainmark
