// ResNet-50's files: JPEGs of drawn pictures of many sizes and forms, with offsets and labels.
#include "load/image_shard.hpp"
#include "synth/data_file.hpp"
#include "synth/jpeg_encoder.hpp"

namespace trainmark::synth {
namespace {

class ImageContent final : public Content {
 public:
  explicit ImageContent(const SynthOptions& options)
      : options_(options), images_(std::get<ImageData>(options.content)) {}

  void write(Hdf5Writer& file, const FilePlan& plan, const SampleDone& done) override {
    ImageShard shard;
    for (std::int64_t sample = plan.first; sample < plan.first + plan.samples; ++sample) {
      const int label = static_cast<int>(sample % images_.classes);  // as many of each as there can be
      Rng random(options_.seed, Purpose::synthesise, static_cast<std::uint64_t>(sample), plan.stream);
      const JpegForm form{.quality = 75 + static_cast<int>(random.below(21)),
                          .halves_colour = random.below(4) != 0,
                          .progressive = random.below(16) == 0};
      shard.add(encode_jpeg(draw_picture(label, images_.classes, images_.size, random), form), label);
      done(1);
    }
    shard.write(file, options_.big_endian);
    describe(file, options_, plan,
             "generated data: drawn pictures whose class is their texture, colour and shape; no photographs");
  }

 private:
  SynthOptions options_;
  ImageData images_;
};

}  // namespace

std::unique_ptr<Content> make_images(const SynthOptions& options) { return std::make_unique<ImageContent>(options); }

}  // namespace trainmark::synth
