// Weights held in 16 bits as stored: every pass gives the bits of the same weights in fp32, and only what is trained is widened.
#include <cstdlib>
#include <functional>

#include "backends_under_test.h"
#include "step_setting.h"

using namespace mendset;
using namespace mendset::test;

namespace {

struct Folder {
  std::string path = "/tmp/mendset-narrow-test-XXXXXX";
  Folder() { CHECK(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::system(("rm -r '" + path + "'").c_str()) == 0 ? void() : void(); }
};

void save(const std::shared_ptr<Model>& model, const std::string& path, const char* dtype) {
  std::unique_ptr<Task> task;
  if (EXPECT_OK(save_model_task(model, path, dtype, 0, &task))) EXPECT_OK(run(task));
}

// The same 16-bit checkpoint in fp32 and as stored.
struct Pair {
  Folder folder;
  std::shared_ptr<Model> wide, narrow;
  Pair(const std::shared_ptr<Backend>& backend, const std::string& name, const char* dtype) {
    const auto original = load(backend, golden_folder(name));
    if (original == nullptr) return;
    save(original, folder.path, dtype);
    wide = load(backend, folder.path, false);
    narrow = load(backend, folder.path, true);
  }
  bool loaded() const { return wide != nullptr && narrow != nullptr; }
};

struct Numbers {
  std::vector<double> log_prob, squares;
  std::vector<float> logits, hidden;
  std::vector<int32_t> ids, lengths;
  double loss = 0;
  Weights gradients;
  bool operator==(const Numbers&) const = default;
};

Numbers everything(const std::shared_ptr<Model>& model, const Batch& batch) {
  const size_t tokens = batch.ids.size(), samples = batch.offsets.size() - 1;
  const ModelSummary summary = summarize(*model);
  Numbers n;
  n.log_prob.resize(tokens);
  n.hidden.resize(tokens * static_cast<size_t>(summary.width));
  n.logits.resize(tokens * static_cast<size_t>(summary.vocab));
  ScoreOutputs outputs;
  outputs.log_prob = n.log_prob.data();
  outputs.hidden = n.hidden.data();
  outputs.logits = n.logits.data();
  std::unique_ptr<Task> task;
  if (EXPECT_OK(score_task(model, batch.view(), outputs, &task))) EXPECT_OK(run(task));
  n.squares.resize(samples * tensors(*model).size());
  if (EXPECT_OK(gradient_norm_task(model, batch.view(), true, -1, n.squares.data(), {}, &task))) EXPECT_OK(run(task));
  n.gradients = batch_gradients(model, batch.view(), &n.loss);
  GenerateOptions options;
  options.max_new_tokens = 6;
  n.ids.resize(samples * 6);
  n.lengths.resize(samples);
  std::vector<uint8_t> stopped(samples);
  if (EXPECT_OK(generate_task(model, batch.view(), options, n.ids.data(), n.lengths.data(), stopped.data(), &task)))
    EXPECT_OK(run(task));
  return n;
}

void test_passes(const std::shared_ptr<Backend>& backend, const std::string& name, const char* dtype) {
  const Pair pair(backend, name, dtype);
  if (!pair.loaded()) return;
  const ModelSummary wide = summarize(*pair.wide), narrow = summarize(*pair.narrow);
  CHECK(wide.held_dtype == "F32" && narrow.held_dtype == dtype && narrow.stored_dtype == dtype);
  CHECK(narrow.bytes < wide.bytes * 3 / 4);
  CHECK(all_tensors(*pair.narrow) == all_tensors(*pair.wide));
  Batch batch(4, {9, 14, 1, 5}, false);
  for (int32_t& id : batch.ids) id %= static_cast<int32_t>(wide.vocab);
  CHECK(everything(pair.narrow, batch) == everything(pair.wide, batch));
  CHECK(summarize(*pair.narrow).bytes == narrow.bytes);  // reading widens nothing
  std::shared_ptr<Model> copy;
  if (EXPECT_OK(copy_model(pair.narrow, &copy))) CHECK(summarize(*copy).bytes == narrow.bytes && everything(copy, batch) == everything(pair.wide, batch));
}

StepRequest repair_step(const Setting& setting) {
  StepRequest request = setting.request(StepRequest::Loss::ce, 0.5f);
  request.slice = Slice::most_sensitive;
  request.sensitivity = setting.rejected.view();
  return request;
}

std::shared_ptr<Trainer> trainer_of(const std::shared_ptr<Model>& model, const AdapterOptions* adapter = nullptr) {
  std::shared_ptr<Trainer> trainer;
  EXPECT_OK(create_trainer(model, model, {}, adapter, &trainer));
  return trainer;
}

void test_repair(const std::shared_ptr<Backend>& backend, const std::string& name) {
  const Pair pair(backend, name, "BF16");
  if (!pair.loaded()) return;
  const Setting setting(pair.wide);
  const StepRequest request = repair_step(setting);
  const auto wide = trainer_of(pair.wide), narrow = trainer_of(pair.narrow);
  const int64_t before = summarize(*pair.narrow).bytes;
  const Weights original = all_tensors(*pair.narrow);
  EXPECT_OK(snapshot_weights(*narrow));
  CHECK(trainer_bytes(*narrow) < before / 20);  // shared with the model, but for norms outside the blocks
  MemoryForecast forecast;
  EXPECT_OK(forecast_step(*narrow, request, &forecast));
  StepResult a, b;
  for (int i = 0; i < 3; ++i) {
    a = step(wide, request);
    b = step(narrow, request);
    CHECK(a.loss == b.loss && a.sensitivities == b.sensitivities && a.blocks == b.blocks && a.gradient_norm == b.gradient_norm);
  }
  CHECK(all_tensors(*pair.narrow) == all_tensors(*pair.wide));
  const int64_t after = summarize(*pair.narrow).bytes;
  CHECK(before < after && after < summarize(*pair.wide).bytes);
  CHECK(after <= forecast.weights && forecast.weights <= forecast.weights_most && forecast.snapshot <= forecast.snapshot_most);

  // saved as held it comes back the same, of the same size
  Folder folder;
  save(pair.narrow, folder.path, "held");
  const auto again = load(backend, folder.path, true);
  if (again != nullptr) CHECK(all_tensors(*again) == all_tensors(*pair.wide) && summarize(*again).bytes == after);
  const Weights trained = all_tensors(*pair.wide);
  EXPECT_OK(restore_weights(*narrow));
  CHECK(all_tensors(*pair.narrow) == original && summarize(*pair.narrow).bytes == before);
  if (again != nullptr) EXPECT_OK(take_weights(*pair.narrow, *again));
  CHECK(all_tensors(*pair.narrow) == trained && summarize(*pair.narrow).bytes == after);
  // and what was wide when the snapshot was taken is so again
  EXPECT_OK(snapshot_weights(*narrow));
  CHECK(trainer_bytes(*narrow) > 0);
  step(narrow, request);
  CHECK(all_tensors(*pair.narrow) != trained);
  EXPECT_OK(restore_weights(*narrow));
  CHECK(all_tensors(*pair.narrow) == trained);
  // every weight
  StepRequest all = request;
  all.slice = Slice::all;
  all.sensitivity = {};
  CHECK(step(trainer_of(pair.wide), all).loss == step(trainer_of(pair.narrow), all).loss);
  CHECK(all_tensors(*pair.narrow) == all_tensors(*pair.wide));
  CHECK(summarize(*pair.narrow).bytes == summarize(*pair.wide).bytes);
}

void test_adapter(const std::shared_ptr<Backend>& backend, const std::string& name) {
  const Pair pair(backend, name, "F16");
  if (!pair.loaded()) return;
  const Setting setting(pair.wide);
  StepRequest request = setting.request(StepRequest::Loss::dpo, 0);
  AdapterOptions adapter;
  adapter.rank = 2;
  const auto wide = trainer_of(pair.wide, &adapter), narrow = trainer_of(pair.narrow, &adapter);
  const int64_t before = summarize(*pair.narrow).bytes;
  for (int i = 0; i < 2; ++i) CHECK(step(wide, request).loss == step(narrow, request).loss);
  CHECK(summarize(*pair.narrow).bytes == before);  // the base stays in 16 bits
  EXPECT_OK(merge_adapter(*wide));
  EXPECT_OK(merge_adapter(*narrow));
  CHECK(all_tensors(*pair.narrow) == all_tensors(*pair.wide) && summarize(*pair.narrow).bytes > before);
}

// A pass that has begun reads the weights that it began with, although its block is widened meanwhile.
void test_widened_under_a_pass(const std::shared_ptr<Backend>& backend) {
  const Pair pair(backend, "tiny-gpt2", "BF16");
  if (!pair.loaded()) return;
  const Batch batch(4, {9, 14, 5}, false);
  std::vector<double> expected(batch.ids.size()), actual(batch.ids.size());
  ScoreOutputs outputs;
  outputs.log_prob = expected.data();
  std::unique_ptr<Task> task;
  if (EXPECT_OK(score_task(pair.narrow, batch.view(), outputs, &task))) EXPECT_OK(run(task));
  outputs.log_prob = actual.data();
  EXPECT_OK(score_task(pair.narrow, batch.view(), outputs, &task));
  EXPECT_OK(task->step(Deadline::after_ms(0)));
  CHECK(!task->progress().finished);
  for (const TensorInfo& info : tensors(*pair.narrow)) {
    if (info.name.find("ln_f") != std::string::npos) continue;  // held in fp32 from the beginning, so written in place
    std::vector<float> values(static_cast<size_t>(info.count), 1e30f);
    EXPECT_OK(write_tensor(*pair.narrow, info.name, values));
  }
  const int64_t bytes = summarize(*pair.narrow).bytes;
  CHECK(bytes == summarize(*pair.wide).bytes);
  EXPECT_OK(run(task, 0));
  CHECK(actual == expected);
}

// An fp32 file is held in fp32; a backend that cannot read 16 bits says so.
void test_other_files(const std::shared_ptr<Backend>& backend) {
  const auto plain_file = load(backend, golden_folder("tiny-gpt2"), true);
  if (plain_file != nullptr) CHECK(summarize(*plain_file).held_dtype == "F32");
  const Pair pair(backend, "tiny-gpt2", "BF16");
  if (!pair.loaded()) return;
  std::shared_ptr<Model> layout, from_config;
  EXPECT_OK(layout_checkpoint(backend, pair.folder.path, true, &layout));
  CHECK(summarize(*layout).bytes == summarize(*pair.narrow).bytes);
  EXPECT_OK(layout_checkpoint(backend, pair.folder.path, false, &layout));
  CHECK(summarize(*layout).bytes == summarize(*pair.wide).bytes);
  std::string config;
  EXPECT_OK(read_text_file(pair.folder.path + "/config.json", &config));
  EXPECT_OK(layout_model(backend, config, true, &from_config));
  CHECK(summarize(*from_config).bytes == summarize(*pair.narrow).bytes);
}

void test_refusal(const std::shared_ptr<Backend>& backend) {
  const Pair pair(backend, "tiny-gpt2", "F32");
  save(pair.wide, pair.folder.path, "BF16");
  std::shared_ptr<Model> model;
  std::unique_ptr<Task> task;
  const Status status = load_model_task(backend, pair.folder.path, true, &model, &task);
  CHECK(status.code() == Code::unsupported && status.message().find("fp32 alone") != std::string::npos);
}

}  // namespace

int main(int count, char** arguments) {
  for (const std::string& name : backends_under_test(count, arguments)) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(name, 2, &backend))) continue;
    if ((backend->table().weight_types >> MS_TYPE_BF16 & 1) == 0) {
      test_refusal(backend);
      continue;
    }
    for (const char* model : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox", "tiny-gpt-neox-seq", "decoders/llama", "decoders/qwen3"}) {
      for (const char* dtype : {"BF16", "F16"}) test_passes(backend, model, dtype);
    }
    for (const char* model : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"}) {
      test_repair(backend, model);
      test_adapter(backend, model);
    }
    test_widened_under_a_pass(backend);
    test_other_files(backend);
  }
  return finish();
}
