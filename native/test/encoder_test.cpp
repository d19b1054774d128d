// Encoders against transformers and sentence-transformers: hidden states, poolings, label scores; what is refused.
#include "model/encoder.h"

#include <cstdlib>

#include "core/random.h"
#include "golden_model.h"

using namespace mendset;
using namespace mendset::test;

namespace {

std::string folder_of(const std::string& name) { return std::string(MENDSET_SOURCE_DIR) + "/test/golden/encoders/" + name; }

struct Reference {
  std::shared_ptr<SafetensorsFile> file;
  std::vector<int32_t> ids, offsets;
  explicit Reference(const std::string& name) {
    if (!EXPECT_OK(SafetensorsFile::open(folder_of(name) + "/reference.safetensors", &file))) return;
    ids = integers("ids");
    offsets = integers("offsets");
  }
  PackedBatch batch() const { return {ids, offsets, {}, {}}; }
  std::vector<int32_t> integers(const std::string& name) const {
    const StoredTensor* tensor = file->find(name);
    std::vector<int32_t> values(static_cast<size_t>(tensor->count));
    std::memcpy(values.data(), file->bytes(*tensor).data(), values.size() * 4);
    return values;
  }
  std::vector<float> floats(const std::string& name) const {
    const StoredTensor* tensor = file->find(name);
    std::vector<float> values(static_cast<size_t>(tensor->count));
    EXPECT_OK(file->read(*tensor, values.data()));
    return values;
  }
};

std::shared_ptr<Model> load_encoder(const std::shared_ptr<Backend>& backend, const std::string& name, bool classifier) {
  std::shared_ptr<Model> model;
  std::unique_ptr<Task> task;
  if (EXPECT_OK(load_encoder_task(backend, folder_of(name), classifier, &model, &task))) EXPECT_OK(run(task));
  return model;
}

void expect_near(const std::string& what, const std::vector<float>& actual, const std::vector<float>& expected) {
  double worst = 0;
  CHECK(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    worst = std::fmax(worst, std::abs(static_cast<double>(actual[i]) - static_cast<double>(expected[i])));
  if (!(worst < 1e-5)) std::printf("%s: largest difference %g\n", what.c_str(), worst);
  CHECK(worst < 1e-5);
}

void test_hidden(const std::shared_ptr<Backend>& backend, const std::string& name) {
  const std::shared_ptr<Model> model = load_encoder(backend, name, false);
  const Reference reference(name);
  if (model == nullptr || reference.ids.empty()) return;
  const size_t width = static_cast<size_t>(summarize(*model).width), samples = reference.offsets.size() - 1;
  for (const auto& [pooling, tensor] : {std::pair{Pooling::mean, "mean"}, {Pooling::first, "first"}, {Pooling::last, "last"}}) {
    std::vector<float> hidden(reference.ids.size() * width), pooled(samples * width), unit(samples * width);
    EncoderOutputs outputs;
    outputs.hidden = hidden.data();
    outputs.pooled = pooled.data();
    outputs.pooling = pooling;
    std::unique_ptr<Task> task;
    if (!EXPECT_OK(encode_task(model, reference.batch(), outputs, &task)) || !EXPECT_OK(run(task, 0.001))) return;
    expect_near(name + " hidden", hidden, reference.floats("hidden"));
    expect_near(name + " " + tensor, pooled, reference.floats(tensor));
    outputs = {nullptr, unit.data(), pooling, true, nullptr};
    if (!EXPECT_OK(encode_task(model, reference.batch(), outputs, &task)) || !EXPECT_OK(run(task))) return;
    for (size_t s = 0; s < samples; ++s) {
      double square = 0, product = 0, length = 0;
      for (size_t c = s * width; c < (s + 1) * width; ++c) {
        const double u = static_cast<double>(unit[c]), p = static_cast<double>(pooled[c]);
        square += u * u, product += u * p, length += p * p;
      }
      CHECK(near(square, 1, 1e-6) && near(product, std::sqrt(length), 1e-5));
    }
  }
  std::vector<float> logits(100);
  std::unique_ptr<Task> task;
  CHECK(encode_task(model, reference.batch(), {nullptr, nullptr, Pooling::mean, false, logits.data()}, &task).code() ==
        Code::invalid_argument);
}

void test_classifier(const std::shared_ptr<Backend>& backend, const std::string& folder, const std::string& name,
                     int64_t labels) {
  const std::shared_ptr<Model> model = load_encoder(backend, folder, true);
  const Reference reference(name);
  if (model == nullptr || reference.ids.empty()) return;
  CHECK(summarize(*model).labels == labels);
  std::vector<float> logits((reference.offsets.size() - 1) * static_cast<size_t>(labels));
  EncoderOutputs outputs;
  outputs.logits = logits.data();
  std::unique_ptr<Task> task;
  if (!EXPECT_OK(encode_task(model, reference.batch(), outputs, &task)) || !EXPECT_OK(run(task, 0.001))) return;
  expect_near(folder + " logits", logits, reference.floats("logits"));
}

void test_sentence_embeddings(const std::shared_ptr<Backend>& backend) {
  const std::shared_ptr<Model> model = load_encoder(backend, "tiny-minilm", false);
  const Reference reference("tiny-minilm");
  if (model == nullptr || reference.ids.empty()) return;
  std::vector<float> pooled((reference.offsets.size() - 1) * static_cast<size_t>(summarize(*model).width));
  std::unique_ptr<Task> task;
  if (EXPECT_OK(encode_task(model, reference.batch(), {nullptr, pooled.data(), Pooling::mean, true, nullptr}, &task)) &&
      EXPECT_OK(run(task)))
    expect_near("sentence embeddings", pooled, reference.floats("embeddings"));
}

// What a text's states are does not depend on the texts beside it, nor on the number of threads.
void test_same_bits() {
  std::vector<float> first;
  for (const int threads : {1, 3}) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open("cpu", threads, &backend))) return;
    const std::shared_ptr<Model> model = load_encoder(backend, "bert", false);
    if (model == nullptr) return;
    RandomStream stream(1, 1);
    std::vector<int32_t> ids, offsets{0};
    for (int s = 0; s < 300; ++s) {  // several passes
      for (uint32_t t = 0, length = 1 + static_cast<uint32_t>(stream.below(40)); t < length; ++t)
        ids.push_back(static_cast<int32_t>(stream.below(120)));
      offsets.push_back(static_cast<int32_t>(ids.size()));
    }
    std::vector<float> pooled(300 * 24), alone(24);
    std::unique_ptr<Task> task;
    EncoderOutputs outputs;
    outputs.pooled = pooled.data();
    if (!EXPECT_OK(encode_task(model, {ids, offsets, {}, {}}, outputs, &task)) || !EXPECT_OK(run(task, 1))) return;
    if (first.empty()) first = pooled;
    CHECK(pooled == first);
    const std::vector<int32_t> one(ids.begin() + offsets[250], ids.begin() + offsets[251]), span{0, offsets[251] - offsets[250]};
    outputs.pooled = alone.data();
    if (!EXPECT_OK(encode_task(model, {one, span, {}, {}}, outputs, &task)) || !EXPECT_OK(run(task))) return;
    for (size_t c = 0; c < 24; ++c) CHECK(near(static_cast<double>(alone[c]), static_cast<double>(pooled[250 * 24 + c]), 1e-6));
  }
}

void test_refusals(const std::shared_ptr<Backend>& backend) {
  std::shared_ptr<Model> model;
  std::unique_ptr<Task> task;
  const auto refused = [](const Status& status, Code code, const char* word) {
    CHECK(status.code() == code);
    CHECK(status.message().find(word) != std::string::npos);
    if (status.message().find(word) == std::string::npos) std::printf("got: %s\n", status.message().c_str());
  };
  refused(load_encoder_task(backend, folder_of("bert"), true, &model, &task), Code::corrupt, "classifier.weight");
  refused(load_encoder_task(backend, golden_folder("tiny-gpt2"), false, &model, &task), Code::unsupported, "xlm-roberta");
  refused(load_model_task(backend, folder_of("bert"), false, &model, &task), Code::unsupported, "gpt_neox");
  const std::shared_ptr<Model> bert = load_encoder(backend, "bert", false);
  const std::shared_ptr<Model> gpt2 = load(backend, golden_folder("tiny-gpt2"));
  if (bert == nullptr || gpt2 == nullptr) return;
  const std::vector<int32_t> ids{5, 6, 7}, offsets{0, 3};
  std::vector<float> values(3 * 120);
  const PackedBatch batch{ids, offsets, {}, {}};
  EncoderOutputs outputs;
  outputs.hidden = values.data();
  refused(encode_task(gpt2, batch, outputs, &task), Code::invalid_argument, "encoder");
  ScoreOutputs scores;
  scores.logits = values.data();
  refused(score_task(bert, batch, scores, &task), Code::invalid_argument, "language model");
  std::shared_ptr<Trainer> trainer;
  refused(create_trainer(bert, nullptr, {}, nullptr, &trainer), Code::invalid_argument, "language model");
  refused(save_model_task(bert, ".", "F32", 0, &task), Code::invalid_argument, "language model");
  const std::vector<int32_t> unknown{5, 120}, pair{0, 2};
  refused(encode_task(bert, {unknown, pair, {}, {}}, outputs, &task), Code::invalid_argument, "vocabulary");
  const std::vector<int32_t> longer(49, 5), span{0, 49};
  refused(encode_task(bert, {longer, span, {}, {}}, outputs, &task), Code::invalid_argument, "context is 48");
}

}  // namespace

int main() {
  for (const char* name : {"plain", "cpu"}) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(name, 2, &backend))) continue;
    for (const char* model : {"bert", "bert-no-pooler", "bert-classifier", "roberta", "xlm-roberta", "roberta-classifier"})
      test_hidden(backend, model);
    test_classifier(backend, "bert-classifier", "bert-classifier", 5);
    test_classifier(backend, "bert-old-names", "bert-classifier", 5);
    test_classifier(backend, "roberta-classifier", "roberta-classifier", 2);
    test_sentence_embeddings(backend);
    test_refusals(backend);
  }
  test_same_bits();
  return finish();
}
