// Micro-batches, checkpointed activations and memory budgets: what they may change (memory, rounding of gradients) and what they
// may not (losses, bits); forecasts against the memory that steps then take.
#include <cstdio>
#include <cstring>

#include "step_setting.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

using namespace mendset;
using namespace mendset::test;

namespace {

using Loss = StepRequest::Loss;

Weights after_step(const Setting& setting, const StepRequest& request, StepResult* result, double budget_ms = 1e300) {
  const Weights before = all_tensors(*setting.model);
  OptimizerOptions plain_descent;
  plain_descent.epsilon = 1e4f;
  StepRequest r = request;
  r.lr = 1e4f;
  *result = step(trainer_for(setting, plain_descent), r, budget_ms);
  const Weights after = all_tensors(*setting.model);
  set_tensors(*setting.model, before);
  return after;
}

double distance(const Weights& a, const Weights& b) {
  double sum = 0;
  for (const std::vector<float>& tensor : difference(a, b)) sum += square(tensor);
  return std::sqrt(sum);
}

void test_micro_batches(const Setting& setting) {
  const Weights before = all_tensors(*setting.model);
  for (const auto& [loss, kl] :
       {std::pair{Loss::ce, 0.0f}, {Loss::ce, 1.0f}, {Loss::dpo, 0.0f}, {Loss::dpo, 1.0f}, {Loss::none, 1.0f}}) {
    StepRequest request = setting.request(loss, kl);
    StepResult whole, parts, again;
    const Weights expected = after_step(setting, request, &whole);
    CHECK(whole.micro_batches == 1);
    for (const int64_t tokens : {1, 14, 30}) {
      request.micro_batch_tokens = tokens;
      const Weights weights = after_step(setting, request, &parts);
      // Every token has its weight in the whole batch's mean, and losses are sums in the batch's order: the same bits.
      CHECK(parts.loss == whole.loss && parts.loss_repair == whole.loss_repair && parts.loss_kl == whole.loss_kl);
      CHECK(parts.pair_margins == whole.pair_margins && parts.scored_tokens == whole.scored_tokens &&
            parts.tokens == whole.tokens);
      CHECK(parts.micro_batches > 1 || tokens == 30);
      CHECK(near(parts.gradient_norm, whole.gradient_norm, 0, 1e-5));
      CHECK(distance(weights, expected) <= 1e-5 * distance(expected, before));
      CHECK(after_step(setting, request, &again, 0.001) == weights && again.gradient_norm == parts.gradient_norm);
    }
    if (loss != Loss::none && kl > 0) {
      request.micro_batch_tokens = 1;
      after_step(setting, request, &parts);
      CHECK(parts.micro_batches == 6);  // three repair samples or pairs, three KL samples
    }
    request.micro_batch_tokens = 0;
    request.update = false;
    after_step(setting, request, &whole);
    request.micro_batch_tokens = 1;
    after_step(setting, request, &parts);
    CHECK(parts.loss == whole.loss && parts.micro_batches > 1);
  }
}

void test_checkpointing(const Setting& setting) {
  for (const Slice slice : {Slice::all, Slice::blocks, Slice::most_sensitive}) {
    StepRequest request = setting.request(Loss::dpo, 1);
    request.slice = slice;
    request.blocks = {1};
    if (slice == Slice::most_sensitive) request.sensitivity = setting.rejected.view();
    StepResult stored, computed_again;
    const Weights expected = after_step(setting, request, &stored);
    request.checkpoint = true;
    CHECK(after_step(setting, request, &computed_again) == expected);
    CHECK(!stored.checkpointed && computed_again.checkpointed);
    CHECK(computed_again.loss == stored.loss && computed_again.gradient_norm == stored.gradient_norm);
    CHECK(computed_again.sensitivities == stored.sensitivities && computed_again.flops > stored.flops);
  }
  // The sensitivity of a batch in parts is the norm of the summed gradient.
  StepRequest request = setting.request(Loss::none, 0);
  request.sensitivity = setting.rejected.view();
  StepResult whole, parts;
  after_step(setting, request, &whole);
  request.micro_batch_tokens = 1;
  after_step(setting, request, &parts);
  for (size_t b = 0; b < whole.sensitivities.size(); ++b) CHECK(near(parts.sensitivities[b], whole.sensitivities[b], 0, 1e-5));
}

// A model large enough that its memory is not lost in a process's own.
constexpr const char* kConfig =
    R"({"model_type": "gpt2", "n_layer": 6, "n_embd": 256, "n_head": 4, "vocab_size": 12000, "n_positions": 512})";

struct Trained {
  std::shared_ptr<Model> model, reference;
  std::vector<float> hidden;
  Batch normal{3, {128, 100, 90, 128}, false}, chosen{1, {128, 128, 120, 64}, false}, rejected{2, {100, 128, 110, 90}, false};
  std::vector<double> zeros = std::vector<double>(4, -100.0);

  explicit Trained(const std::shared_ptr<Backend>& backend) {
    EXPECT_OK(create_model(backend, kConfig, 1, &model));
    EXPECT_OK(create_model(backend, kConfig, 2, &reference));
    hidden.assign(normal.ids.size() * 256, 0.1f);
  }
  StepRequest request(Loss loss, float kl) const {
    StepRequest r;
    r.loss = loss;
    r.weight_kl = kl;
    r.chosen = chosen.view();
    r.rejected = rejected.view();
    r.reference_chosen = r.reference_rejected = zeros;
    r.normal = normal.view();
    r.reference_hidden = hidden;
    r.lr = 1e-5f;
    return r;
  }
};

int64_t resident_bytes() {
#if defined(__GLIBC__)
  malloc_trim(0);  // what earlier models left behind
#endif
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return -1;
  long long total = 0, resident = 0;
  const int read = std::fscanf(file, "%lld %lld", &total, &resident);
  std::fclose(file);
  return read == 2 ? resident * 4096 : -1;
}

struct Shape {
  const char* name;
  Loss loss;
  float kl;
  OptimizerOptions::Kind optimizer;
  Slice slice;
  int64_t micro_batch_tokens;
  bool checkpoint, snapshot;
};

void test_forecast(const Shape& shape) {
  std::shared_ptr<Backend> backend;
  if (!EXPECT_OK(Backend::open("cpu", 2, &backend))) return;
  const int64_t before = resident_bytes();
  const Trained trained(backend);
  StepRequest request = trained.request(shape.loss, shape.kl);
  request.slice = shape.slice;
  if (shape.slice == Slice::blocks) request.blocks = {0};
  request.micro_batch_tokens = shape.micro_batch_tokens;
  request.checkpoint = shape.checkpoint;
  if (shape.slice == Slice::most_sensitive) request.sensitivity = trained.rejected.view();
  OptimizerOptions options;
  options.kind = shape.optimizer;

  std::shared_ptr<Model> layout, reference;
  MemoryForecast forecast;
  EXPECT_OK(layout_model(backend, kConfig, false, &layout));
  EXPECT_OK(layout_model(backend, kConfig, false, &reference));
  EXPECT_OK(forecast_step(layout, reference, options, nullptr, shape.snapshot, request, &forecast));
  std::shared_ptr<Trainer> trainer;
  EXPECT_OK(create_trainer(trained.model, trained.reference, options, nullptr, &trainer));
  if (shape.snapshot) EXPECT_OK(snapshot_weights(*trainer));
  const StepResult result = step(trainer, request);

  CHECK(forecast.weights == summarize(*trained.model).bytes && forecast.reference == forecast.weights);
  CHECK(forecast.optimizer + forecast.snapshot == trainer_bytes(*trainer));
  CHECK(forecast.optimizer <= forecast.optimizer_most && forecast.gradients < forecast.work);
  const double work = static_cast<double>(idle_work_bytes(*trained.model));
  // A block chosen by sensitivity may keep fewer activations than the lowest, for which the forecast is.
  if (shape.slice == Slice::most_sensitive) {
    CHECK(work <= static_cast<double>(forecast.work));
  } else {
    CHECK(work == static_cast<double>(forecast.work));
    CHECK(near(forecast.flops, result.flops, 0, 1e-3));
  }
  CHECK(forecast.micro_batches == result.micro_batches && forecast.checkpointed == result.checkpointed);
  MemoryForecast next;
  EXPECT_OK(forecast_step(*trainer, request, &next));
  CHECK(next.optimizer <= forecast.optimizer_most && next.work == forecast.work);
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  const double grown = static_cast<double>(resident_bytes() - before), peak = static_cast<double>(forecast.peak());
  if (std::abs(grown / peak - 1) > 0.1)
    std::printf("%s: forecast %.1f MiB, resident %.1f MiB\n", shape.name, peak / (1 << 20), grown / (1 << 20));
  CHECK(before > 0 && std::abs(grown / peak - 1) <= 0.1);
#else
  (void)before;
#endif
}

// As repairs train: the reference is the model's own head of before.
void test_head_as_reference() {
  std::shared_ptr<Backend> backend;
  if (!EXPECT_OK(Backend::open("cpu", 2, &backend))) return;
  const Trained trained(backend);
  const StepRequest request = trained.request(Loss::ce, 1);
  std::shared_ptr<Model> layout;
  std::shared_ptr<Trainer> trainer;
  MemoryForecast before, forecast;
  EXPECT_OK(layout_model(backend, kConfig, false, &layout));
  EXPECT_OK(forecast_step(layout, layout, {}, nullptr, false, request, &before));
  EXPECT_OK(create_trainer(trained.model, trained.model, {}, nullptr, &trainer));
  EXPECT_OK(forecast_step(*trainer, request, &forecast));
  CHECK(before.reference == 12000 * 256 * 4 && before.peak() == forecast.peak());
  step(trainer, request);
  CHECK(idle_work_bytes(*trained.model) == before.work);
}

void test_other_forecasts() {
  std::shared_ptr<Backend> backend;
  if (!EXPECT_OK(Backend::open("cpu", 2, &backend))) return;
  const auto held = [&](const auto& forecast_work, const auto& make_task) {
    const Trained trained(backend);
    std::shared_ptr<Model> layout;
    MemoryForecast forecast;
    std::unique_ptr<Task> task;
    EXPECT_OK(layout_model(backend, kConfig, false, &layout));
    EXPECT_OK(forecast_work(layout, trained.chosen.view(), &forecast));
    if (EXPECT_OK(make_task(trained.model, trained.chosen.view(), &task))) EXPECT_OK(run(task));
    task.reset();
    CHECK(forecast.work > 0 && forecast.work == idle_work_bytes(*trained.model) && forecast.flops > 0);
    CHECK(forecast.peak() == forecast.weights + forecast.work + forecast.cache + forecast.scratch);
    return forecast;
  };
  std::vector<double> squares(4 * 100), numbers(1000);
  ScoreOutputs outputs;
  outputs.log_prob = numbers.data();
  held([&](const auto& model, const PackedBatch& b, MemoryForecast* f) { return forecast_score(model, b, outputs, f); },
       [&](const auto& model, const PackedBatch& b, std::unique_ptr<Task>* t) { return score_task(model, b, outputs, t); });
  held([&](const auto& model, const PackedBatch& b, MemoryForecast* f) { return forecast_gradient_norms(model, b, -1, f); },
       [&](const auto& model, const PackedBatch& b, std::unique_ptr<Task>* t) {
         squares.resize(static_cast<size_t>(b.samples()) * tensors(*model).size());
         return gradient_norm_task(model, b, true, -1, squares.data(), {}, t);
       });
  GenerateOptions options;
  std::vector<int32_t> ids(4 * 20), lengths(4);
  std::vector<uint8_t> stopped(4);
  const MemoryForecast generation =
      held([&](const auto& model, const PackedBatch& b, MemoryForecast* f) { return forecast_generate(model, b, options, f); },
           [&](const auto& model, const PackedBatch& b, std::unique_ptr<Task>* t) {
             return generate_task(model, b, options, ids.data(), lengths.data(), stopped.data(), t);
           });
  CHECK(generation.cache == int64_t{2} * 6 * 4 * (128 + 20) * 256 * 4);
}

void test_forecasts() {
  using Kind = OptimizerOptions::Kind;
  for (const Shape& shape : {
           Shape{"cross-entropy", Loss::ce, 0, Kind::rmsprop, Slice::all, 0, false, false},
           Shape{"with KL, AdamW, snapshot", Loss::ce, 1, Kind::adamw, Slice::all, 0, false, true},
           Shape{"DPO with KL", Loss::dpo, 1, Kind::rmsprop, Slice::all, 0, false, false},
           Shape{"micro-batches", Loss::dpo, 1, Kind::rmsprop, Slice::all, 256, false, false},
           Shape{"checkpointed", Loss::dpo, 1, Kind::rmsprop, Slice::all, 0, true, false},
           Shape{"one block", Loss::ce, 1, Kind::rmsprop, Slice::blocks, 0, false, false},
           Shape{"most sensitive block", Loss::ce, 1, Kind::rmsprop, Slice::most_sensitive, 0, false, true},
       }) {
    test_forecast(shape);
  }
}

void test_budget() {
  std::shared_ptr<Backend> backend;
  if (!EXPECT_OK(Backend::open("cpu", 2, &backend))) return;
  std::shared_ptr<Model> layout;
  EXPECT_OK(layout_model(backend, kConfig, false, &layout));
  const Trained trained(backend);
  StepRequest request = trained.request(Loss::dpo, 1);
  MemoryForecast whole, within;
  EXPECT_OK(forecast_step(layout, layout, {}, nullptr, false, request, &whole));
  CHECK(whole.micro_batches == 1);
  const auto forecast = [&](int64_t budget) {
    request.memory_budget = budget;
    return forecast_step(layout, layout, {}, nullptr, false, request, &within);
  };
  EXPECT_OK(forecast(whole.peak() + (int64_t{64} << 20)));
  CHECK(within.micro_batches == 1 && !within.checkpointed);
  int64_t fewer = 1;
  bool checkpointed = false;
  // Ever smaller budgets: kept to, with ever more passes, at last checkpointed, at last refused.
  for (int64_t budget = whole.peak(); budget > 0; budget -= int64_t{2} << 20) {
    const Status status = forecast(budget);
    if (!status.ok()) {
      CHECK(status.code() == Code::invalid_argument && status.message().find("budget") != std::string::npos);
      StepResult result;
      std::unique_ptr<Task> task;
      std::shared_ptr<Trainer> trainer;
      EXPECT_OK(create_trainer(trained.model, trained.reference, {}, nullptr, &trainer));
      CHECK(step_task(trainer, request, &result, &task).code() == Code::invalid_argument);
      break;
    }
    CHECK(within.peak() <= budget && budget > int64_t{2} << 20);
    CHECK(within.checkpointed || within.micro_batches >= fewer);
    CHECK(within.checkpointed || !checkpointed);
    fewer = within.micro_batches;
    checkpointed = within.checkpointed;
  }
  CHECK(checkpointed);
}

}  // namespace

int main() {
  test_forecasts();  // first, while no other model's memory has come and gone
  test_head_as_reference();
  test_other_forecasts();
  test_budget();
  for (const char* backend_name : {"plain", "cpu"}) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(backend_name, 2, &backend))) continue;
    for (const char* name : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"}) {
      const Setting setting(backend, name);
      if (setting.model == nullptr) continue;
      test_micro_batches(setting);
      test_checkpointing(setting);
    }
    // Grouped keys, a gated MLP, RMS norms and an untied head.
    std::shared_ptr<Model> llama;
    if (!EXPECT_OK(create_model(backend,
                                R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
                                    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "rms_norm_eps": 1e-5,
                                    "hidden_act": "silu", "max_position_embeddings": 64, "tie_word_embeddings": false,
                                    "initializer_range": 0.2})",
                                5, &llama)))
      continue;
    const Setting setting(llama);
    test_micro_batches(setting);
    test_checkpointing(setting);
  }
  return finish();
}
