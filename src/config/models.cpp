// The keys of each workload's network.
#include "config/description.hpp"

namespace trainmark::config {
namespace {

void describe_width(Visitor& visitor, double& width) {
  visitor.field({.name = "width", .doc = "Factor on the channels of all layers.", .maximum = 16, .above = 0}, &width);
}
void describe_norm_group(Visitor& visitor, int& ranks) {
  visitor.field({.name = "norm_group",
                 .doc = "Neighbouring ranks that batch norm takes together; divides the number of ranks.",
                 .unit = "ranks",
                 .minimum = 1,
                 .maximum = most_parts},
                &ranks);
}

}  // namespace

void describe_model(Visitor& visitor, CosmoflowOptions& model) {
  visitor.open("model", "The network. Defaults are the reference's, dropout aside.");
  visitor.field({.name = "extent",
                 .doc = "Voxels along each axis of a sample; five poolings need a multiple of 32.",
                 .unit = "voxels",
                 .minimum = 32,
                 .maximum = 1024,
                 .multiple_of = 32},
                &model.extent);
  visitor.field({.name = "width",
                 .doc = "Factor on the channels 32, 64, 128, 256, 512 of the convolutions.",
                 .maximum = 16,
                 .above = 0},
                &model.width);
  visitor.field({.name = "kernel",
                 .doc = "Extent of the convolutions: 3, or 2 with asymmetric padding (the network of round 0.7).",
                 .choices = {2, 3}},
                &model.kernel);
  visitor.field({.name = "dropout",
                 .doc = "Dropout after the two hidden dense layers (0.5 in the reference).",
                 .minimum = 0,
                 .below = 1,
                 .fp32 = true},
                &model.dropout);
  visitor.field(
      {.name = "l2",
       .doc =
           "L2 on the kernels of the first two dense layers, Keras meaning: adds l2 * sum(w^2) to what is minimised. "
           "A loss that is reported leaves it out, while Keras' contains it.",
       .minimum = 0,
       .maximum = 1e38,
       .fp32 = true},
      &model.l2);
  visitor.field({.name = "log_transform", .doc = "Feed log(1 + x) to the network; false divides by the sample's mean."},
                &model.log_transform);
  visitor.close();
}

void describe_model(Visitor& visitor, DeepcamOptions& model) {
  visitor.open("model", "The network. Defaults are the reference's.");
  visitor.field({.name = "rows",
                 .doc = "Extent of a map from south to north; four strided layers need a multiple of 16.",
                 .unit = "pixels",
                 .minimum = 16,
                 .maximum = 16384,
                 .multiple_of = 16},
                &model.rows);
  visitor.field({.name = "columns",
                 .doc = "Extent of a map from west to east; a multiple of 16.",
                 .unit = "pixels",
                 .minimum = 16,
                 .maximum = 16384,
                 .multiple_of = 16},
                &model.columns);
  describe_width(visitor, model.width);
  visitor.field({.name = "middle_blocks", .doc = "Blocks of the middle flow.", .minimum = 0, .maximum = 256},
                &model.middle_blocks);
  describe_norm_group(visitor, model.norm_group);
  visitor.close();
}

void describe_model(Visitor& visitor, Resnet50Options& model) {
  visitor.open("model", "The network. Defaults are the reference's.");
  visitor.field({.name = "extent",
                 .doc = "Extent of an image along both sides.",
                 .unit = "pixels",
                 .minimum = 32,
                 .maximum = 4096},
                &model.extent);
  describe_width(visitor, model.width);
  visitor.field({.name = "classes", .doc = "Classes of the labels.", .minimum = 2, .maximum = 1048576}, &model.classes);
  visitor.field(
      {.name = "least_area", .doc = "Training's crops take at least this share of an image.", .maximum = 1, .above = 0},
      &model.least_area);
  visitor.field({.name = "most_area", .doc = "And at most this one (Fujitsu's: 0.9).", .maximum = 1, .above = 0},
                &model.most_area);
  visitor.field(
      {.name = "least_aspect", .doc = "Least width over height of training's crops (Fujitsu's: 0.6667).", .above = 0},
      &model.least_aspect);
  visitor.field({.name = "most_aspect", .doc = "The largest (Fujitsu's: 1.5).", .above = 0}, &model.most_aspect);
  visitor.field({.name = "plain_from_epoch",
                 .doc = "From this epoch on, counted from 0, training takes evaluation's centre crops without flips "
                        "(Fujitsu's: 85); 0: never.",
                 .unit = "epochs",
                 .minimum = 0},
                &model.plain_from_epoch);
  visitor.words(
      {.name = "padding",
       .doc = "Of windows with a stride of 2. torch: alike on both sides (MXNet too); tensorflow: behind, where "
              "one side is enough. Results differ: weights go with the style they were trained in."},
      model.padding);
  visitor.words(
      {.name = "pixels",
       .doc = "standardised: ImageNet's means are taken off and its deviations divide (MXNet, PyTorch); centred: "
              "its means are taken off (TensorFlow)."},
      model.pixels);
  visitor.field({.name = "label_smoothing", .doc = "What a label gives away; 0: nothing.", .minimum = 0, .below = 1},
                &model.label_smoothing);
  visitor.words(
      {.name = "smoothing",
       .doc = "Among whom that is shared. all_classes: the label is one of them (TensorFlow); other_classes: all "
              "but the label (MXNet)."},
      model.smoothing);
  describe_norm_group(visitor, model.norm_group);
  visitor.close();
}

}  // namespace trainmark::config
