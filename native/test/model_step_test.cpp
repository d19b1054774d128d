// Training steps against direct computation and finite differences; IRepair's choice; equal bits for any budget and thread count.
#include <unistd.h>

#include <cstdlib>

#include "backends_under_test.h"
#include "step_setting.h"

using namespace mendset;
using namespace mendset::test;

namespace {

// RMSprop with a huge epsilon is plain descent: w - g when lr = epsilon. So one step shows the whole gradient, which must predict
// how the loss changes along it.
void test_whole_gradient(const Setting& setting, StepRequest request) {
  OptimizerOptions options;
  options.epsilon = 1e4f;
  const std::shared_ptr<Trainer> trainer = trainer_for(setting, options);
  const Weights before = all_tensors(*setting.model);
  request.lr = 1e4f;
  const StepResult result = step(trainer, request);
  const Weights gradient = difference(before, all_tensors(*setting.model));
  double squared = 0;
  for (const std::vector<float>& tensor : gradient) squared += square(tensor);
  CHECK(near(std::sqrt(squared), result.gradient_norm, 0, 2e-4));
  const double h = 2e-3 / std::sqrt(squared);
  StepRequest look = request;
  look.update = false;
  set_tensors(*setting.model, before, &gradient, h);
  const double above = step(trainer, look).loss;
  set_tensors(*setting.model, before, &gradient, -h);
  const double below = step(trainer, look).loss;
  CHECK(near((above - below) / (2 * h), squared, 0, 2e-3));
  set_tensors(*setting.model, before);
  CHECK(step(trainer, look).loss == result.loss);
}

void test_losses(const Setting& setting) {
  using Loss = StepRequest::Loss;
  const std::shared_ptr<Trainer> trainer = trainer_for(setting);
  const size_t vocab = static_cast<size_t>(summarize(*setting.model).vocab);
  const auto log_probs = [&](const Batch& batch) {
    std::vector<double> values(batch.ids.size());
    ScoreOutputs outputs;
    outputs.log_prob = values.data();
    std::unique_ptr<Task> task;
    if (EXPECT_OK(score_task(setting.model, batch.view(), outputs, &task))) EXPECT_OK(run(task));
    return values;
  };
  const auto sample_sum = [](const Batch& batch, const std::vector<double>& values, size_t s) {
    double sum = 0;
    for (int32_t t = batch.offsets[s]; t < batch.offsets[s + 1]; ++t) sum += values[static_cast<size_t>(t)];
    return sum;
  };
  const std::vector<double> chosen = log_probs(setting.chosen), rejected = log_probs(setting.rejected);
  double total = 0;
  for (const double value : chosen) total -= value;
  double scored = 0;
  for (size_t t = 0; t < setting.chosen.mask.size(); ++t) scored += setting.chosen.mask[t];

  StepRequest request = setting.request(Loss::ce, 0);
  request.update = false;
  CHECK(near(step(trainer, request).loss_repair, total / scored, 1e-6));
  CHECK(near(step(trainer, request).loss, 0.5 * total / scored, 1e-6));
  request.sequence_sum = true;
  CHECK(near(step(trainer, request).loss_repair, total / 3, 1e-5));

  request = setting.request(Loss::dpo, 0);
  request.update = false;
  const StepResult dpo = step(trainer, request);
  double loss = 0;
  for (size_t p = 0; p < 3; ++p) {
    const double z =
        static_cast<double>(0.1f) * (sample_sum(setting.chosen, chosen, p) - sample_sum(setting.rejected, rejected, p) -
                                     (setting.reference_chosen[p] - setting.reference_rejected[p]));
    CHECK(near(dpo.pair_margins[p], z, 1e-5));
    loss += std::log1p(std::exp(-z)) / 3;
  }
  CHECK(near(dpo.loss_repair, loss, 1e-6));

  // KL from both models' logits in fp64.
  std::vector<float> z(setting.normal.ids.size() * vocab), r(z.size());
  for (const bool is_model : {true, false}) {
    ScoreOutputs outputs;
    outputs.logits = is_model ? z.data() : r.data();
    std::unique_ptr<Task> task;
    if (EXPECT_OK(score_task(is_model ? setting.model : setting.reference, setting.normal.view(), outputs, &task)))
      EXPECT_OK(run(task));
  }
  const auto log_softmax = [&](const float* row) {
    std::vector<double> out(row, row + vocab);
    double sum = 0;
    for (const double value : out) sum += std::exp(value);
    for (double& value : out) value -= std::log(sum);
    return out;
  };
  double forward = 0, reverse = 0, rows = 0;
  for (size_t s = 0; s + 1 < setting.normal.offsets.size(); ++s) {
    for (int32_t t = setting.normal.offsets[s]; t + 1 < setting.normal.offsets[s + 1]; ++t, ++rows) {
      const std::vector<double> p = log_softmax(z.data() + static_cast<size_t>(t) * vocab),
                                q = log_softmax(r.data() + static_cast<size_t>(t) * vocab);
      for (size_t v = 0; v < vocab; ++v) {
        forward += std::exp(q[v]) * (q[v] - p[v]);
        reverse += std::exp(p[v]) * (p[v] - q[v]);
      }
    }
  }
  request = setting.request(Loss::none, 2);
  request.update = false;
  CHECK(near(step(trainer, request).loss_kl, forward / rows, 1e-6));
  CHECK(near(step(trainer, request).loss, 2 * forward / rows, 1e-6));
  request.kl_direction = MS_KL_REVERSE;
  CHECK(near(step(trainer, request).loss_kl, reverse / rows, 1e-6));
}

// Without an update: the same loss and gradient norm as the step that follows, no optimiser state, weights untouched.
void test_gradient_norm(const Setting& setting) {
  const Weights before = all_tensors(*setting.model);
  for (const Slice slice : {Slice::all, Slice::blocks}) {
    const std::shared_ptr<Trainer> trainer = trainer_for(setting);
    StepRequest request = setting.request(StepRequest::Loss::dpo, 0.5f);
    request.slice = slice;
    if (slice == Slice::blocks) request.blocks = {0};
    request.update = false;
    request.gradient_norm = true;
    const StepResult looked = step(trainer, request);
    CHECK(all_tensors(*setting.model) == before);
    CHECK(trainer_bytes(*trainer) == trainer_bytes(*trainer_for(setting)));
    request.update = true;
    const StepResult done = step(trainer, request);
    CHECK(looked.loss == done.loss && looked.gradient_norm == done.gradient_norm && done.gradient_norm > 0);
    CHECK(looked.flops < done.flops);
    set_tensors(*setting.model, before);
  }
}

void test_update(const Setting& setting) {
  const Weights before = all_tensors(*setting.model);
  double loss = 0;
  const Weights gradient = batch_gradients(setting.model, setting.chosen.view(), &loss);
  double squared = 0;
  for (const std::vector<float>& tensor : gradient) squared += square(tensor);
  for (const bool adamw : {false, true}) {
    OptimizerOptions options;
    if (adamw) options.kind = OptimizerOptions::Kind::adamw;
    StepRequest request = setting.request(StepRequest::Loss::ce, 0);
    request.weight_repair = 1;
    request.clip_norm = 0.5f;
    const StepResult result = step(trainer_for(setting, options), request);
    CHECK(near(result.loss, loss, 1e-9) && near(result.gradient_norm, std::sqrt(squared), 0, 1e-6));
    const double factor = std::fmin(1, 0.5 / (std::sqrt(squared) + 1e-6)), lr = static_cast<double>(request.lr);
    const Weights after = all_tensors(*setting.model);
    double worst = 0;
    for (size_t i = 0; i < after.size(); ++i) {
      for (size_t k = 0; k < after[i].size(); ++k) {
        const double g = factor * static_cast<double>(gradient[i][k]), w = static_cast<double>(before[i][k]);
        const double expected =
            adamw ? w - lr * 0.01 * w - lr * g / (std::abs(g) + 1e-8) : w - lr * g / (std::sqrt(0.01 * g * g) + 1e-8);
        worst = std::fmax(worst, std::abs(static_cast<double>(after[i][k]) - expected) / (1e-7 * std::abs(w) + 1e-3 * lr + 1e-9));
      }
    }
    CHECK(worst < 20);
    set_tensors(*setting.model, before);
  }
}

void test_repair_step(const Setting& setting) {
  const Weights before = all_tensors(*setting.model);
  double loss = 0;
  const Weights gradient = batch_gradients(setting.model, setting.rejected.view(), &loss);
  const size_t layers = static_cast<size_t>(summarize(*setting.model).layers);
  std::vector<double> expected(layers, 0);
  for (size_t i = 0; i < gradient.size(); ++i) {
    const int32_t block = tensors(*setting.model)[i].block;
    if (block >= 0) expected[static_cast<size_t>(block)] += square(gradient[i]);
  }
  size_t most = 0, least = 0;
  for (size_t b = 0; b < layers; ++b) {
    expected[b] = std::sqrt(expected[b]);
    if (expected[b] > expected[most]) most = b;
    if (expected[b] < expected[least]) least = b;
  }
  for (const Slice slice : {Slice::most_sensitive, Slice::least_sensitive}) {
    StepRequest request = setting.request(StepRequest::Loss::ce, 1);
    request.slice = slice;
    request.sensitivity = setting.rejected.view();
    const StepResult result = step(trainer_for(setting), request);
    for (size_t b = 0; b < layers; ++b) CHECK(near(result.sensitivities[b], expected[b], 0, 1e-5));
    const size_t chosen = slice == Slice::most_sensitive ? most : least;
    CHECK(result.blocks == std::vector<int32_t>{static_cast<int32_t>(chosen)});
    const Weights after = all_tensors(*setting.model);
    for (size_t i = 0; i < after.size(); ++i) {
      CHECK((after[i] != before[i]) == (tensors(*setting.model)[i].block == static_cast<int32_t>(chosen)));
    }
    set_tensors(*setting.model, before);
    // The same block by name: same bits. And within the block the gradient is the full one.
    request.slice = Slice::blocks;
    request.blocks = {static_cast<int32_t>(chosen)};
    request.sensitivity = {};
    const StepResult named = step(trainer_for(setting), request);
    CHECK(named.gradient_norm == result.gradient_norm && all_tensors(*setting.model) == after);
    set_tensors(*setting.model, before);
  }
  // A sensitivity batch too large for one pass: block gradients are summed over its parts.
  const Batch large(5, std::vector<int32_t>(180, 50), true);
  StepRequest request = setting.request(StepRequest::Loss::none, 0);
  request.sensitivity = large.view();
  const StepResult result = step(trainer_for(setting), request);
  const Weights summed = batch_gradients(setting.model, large.view(), &loss);
  std::vector<double> squares(layers, 0);
  for (size_t i = 0; i < summed.size(); ++i) {
    const int32_t block = tensors(*setting.model)[i].block;
    if (block >= 0) squares[static_cast<size_t>(block)] += square(summed[i]);
  }
  for (size_t b = 0; b < layers; ++b) CHECK(near(result.sensitivities[b], std::sqrt(squares[b]), 0, 1e-5));
  CHECK(all_tensors(*setting.model) == before);
}

// Three steps of every kind; the weights that result.
Weights train(const std::string& backend_name, int threads, double budget_ms) {
  std::shared_ptr<Backend> backend;
  if (!EXPECT_OK(Backend::open(backend_name, threads, &backend))) return {};
  const Setting setting(backend, "tiny-gpt2");
  OptimizerOptions options;
  options.kind = OptimizerOptions::Kind::adamw;
  const std::shared_ptr<Trainer> trainer = trainer_for(setting, options);
  StepRequest request = setting.request(StepRequest::Loss::ce, 1);
  request.clip_norm = 0.5f;
  step(trainer, request, budget_ms);
  step(trainer, setting.request(StepRequest::Loss::dpo, 0), budget_ms);
  request.slice = Slice::most_sensitive;
  request.sensitivity = setting.rejected.view();
  step(trainer, request, budget_ms);
  Weights all = all_tensors(*setting.model);
  const size_t count = tensors(*setting.model).size();
  std::vector<double> squares(3 * count);
  std::unique_ptr<Task> task;
  if (EXPECT_OK(gradient_norm_task(setting.model, setting.chosen.view(), true, -1, squares.data(), {}, &task)))
    EXPECT_OK(run(task, budget_ms));
  all.emplace_back(squares.begin(), squares.end());
  return all;
}

void test_same_bits(const std::string& backend_name) {
  const Weights expected = train(backend_name, 1, 1e300);
  for (const int threads : {1, 2, 5}) {
    for (const double budget_ms : {0.001, 3.0, 1e300}) CHECK(train(backend_name, threads, budget_ms) == expected);
  }
}

void test_failures(const Setting& setting) {
  const std::shared_ptr<Trainer> trainer = trainer_for(setting);
  const Weights before = all_tensors(*setting.model);
  std::unique_ptr<Task> task;
  StepResult result;
  const size_t damaged = 5;
  EXPECT_OK(write_tensor(*setting.model, tensors(*setting.model)[damaged].name,
                         std::vector<float>(before[damaged].size(), std::nanf(""))));
  const Weights broken = all_tensors(*setting.model);
  for (const auto loss : {StepRequest::Loss::ce, StepRequest::Loss::dpo}) {
    if (!EXPECT_OK(step_task(trainer, setting.request(loss, 0), &result, &task))) continue;
    CHECK(run(task).code() == Code::non_finite);
    CHECK(!trainer_poisoned(*trainer));
  }
  const Weights after = all_tensors(*setting.model);
  for (size_t i = 0; i < after.size(); ++i) CHECK(std::memcmp(after[i].data(), broken[i].data(), after[i].size() * 4) == 0);
  set_tensors(*setting.model, before);

  const auto refused = [&](auto change) {
    StepRequest request = setting.request(StepRequest::Loss::dpo, 1);
    change(request);
    const Status status = step_task(trainer, request, &result, &task);
    CHECK(status.code() == Code::invalid_argument && !status.message().empty());
  };
  refused([](StepRequest& r) { r.rejected.offsets = r.rejected.offsets.first(3); });
  refused([&](StepRequest& r) { r.rejected = setting.normal.view(), r.reference_rejected = r.reference_chosen.first(2); });
  refused([](StepRequest& r) { r.reference_hidden = r.reference_hidden.first(5); });
  refused([](StepRequest& r) { r.kl_direction = 2; });
  refused([](StepRequest& r) { r.beta = 0; });
  refused([](StepRequest& r) { r.slice = Slice::most_sensitive; });
  refused([](StepRequest& r) { r.slice = Slice::blocks, r.blocks = {99}; });
  refused([](StepRequest& r) { r.lr = std::nanf(""); });
  refused([](StepRequest& r) { r.clip_norm = -1; });
  refused([](StepRequest& r) { r.loss = StepRequest::Loss::none, r.weight_kl = 0; });
  std::shared_ptr<Trainer> without;
  if (EXPECT_OK(create_trainer(setting.model, nullptr, {}, nullptr, &without))) {
    CHECK(step_task(without, setting.request(StepRequest::Loss::ce, 1), &result, &task).code() == Code::invalid_argument);
  }
}

// Dropping a task before its update changes nothing; inside the update the trainer says so until the weights are restored. A backend that takes
// sequences is given the update as one, so that no step ends inside it.
void test_dropped_step(const Setting& setting, bool update_in_pieces) {
  const std::shared_ptr<Trainer> trainer = trainer_for(setting);
  const Weights before = all_tensors(*setting.model);
  EXPECT_OK(snapshot_weights(*trainer));
  const StepRequest request = setting.request(StepRequest::Loss::ce, 1);
  StepResult result;
  std::unique_ptr<Task> task;
  bool seen = false;
  for (int steps = 1; !seen && steps < 1000; ++steps) {
    if (!EXPECT_OK(step_task(trainer, request, &result, &task))) return;
    for (int i = 0; i < steps && !task->progress().finished; ++i) EXPECT_OK(task->step(Deadline::after_ms(0)));
    if (task->progress().finished) break;
    task.reset();
    seen = trainer_poisoned(*trainer);
    if (!seen) CHECK(all_tensors(*setting.model) == before);
  }
  CHECK(seen == update_in_pieces && all_tensors(*setting.model) != before);
  if (seen) CHECK(step_task(trainer, request, &result, &task).code() == Code::invalid_argument);
  EXPECT_OK(restore_weights(*trainer));
  CHECK(!trainer_poisoned(*trainer) && all_tensors(*setting.model) == before);
}

void test_trainer_state(const Setting& setting) {
  char path[] = "/tmp/mendset-trainer-XXXXXX";
  const int descriptor = ::mkstemp(path);
  CHECK(descriptor >= 0);
  ::close(descriptor);
  const Weights before = all_tensors(*setting.model);
  for (const auto kind : {OptimizerOptions::Kind::rmsprop, OptimizerOptions::Kind::adamw}) {
    OptimizerOptions options;
    options.kind = kind;
    StepRequest all = setting.request(StepRequest::Loss::ce, 0), one = all;
    one.slice = Slice::blocks;
    one.blocks = {1};
    const std::shared_ptr<Trainer> first = trainer_for(setting, options);
    step(first, one);
    EXPECT_OK(save_trainer_state(*first, path));
    const Weights middle = all_tensors(*setting.model);
    step(first, one);
    step(first, all);
    const Weights expected = all_tensors(*setting.model);
    set_tensors(*setting.model, middle);
    const std::shared_ptr<Trainer> second = trainer_for(setting, options);
    EXPECT_OK(load_trainer_state(*second, path));
    step(second, one);
    step(second, all);
    CHECK(all_tensors(*setting.model) == expected);
    options.kind = kind == OptimizerOptions::Kind::rmsprop ? OptimizerOptions::Kind::adamw : OptimizerOptions::Kind::rmsprop;
    CHECK(load_trainer_state(*trainer_for(setting, options), path).code() == Code::invalid_argument);
    set_tensors(*setting.model, before);
  }
  CHECK(::unlink(path) == 0);
}

}  // namespace

int main(int count, char** arguments) {
  for (const std::string& backend_name : backends_under_test(count, arguments)) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(backend_name, 2, &backend))) continue;
    for (const char* name : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"}) {
      const Setting setting(backend, name);
      if (setting.model == nullptr) continue;
      test_losses(setting);
      using Loss = StepRequest::Loss;
      test_whole_gradient(setting, setting.request(Loss::ce, 0));
      test_whole_gradient(setting, setting.request(Loss::ce, 1));
      test_whole_gradient(setting, setting.request(Loss::dpo, 0));
      StepRequest both = setting.request(Loss::dpo, 1);
      both.kl_direction = MS_KL_REVERSE;
      test_whole_gradient(setting, both);
      test_whole_gradient(setting, setting.request(Loss::none, 1));
      test_gradient_norm(setting);
      test_update(setting);
      test_repair_step(setting);
      test_failures(setting);
      test_dropped_step(setting, backend->table().begin_sequence == nullptr);
      test_trainer_state(setting);
    }
    test_same_bits(backend_name);
  }
  return finish();
}
