// The CUDA backend at the sizes that PyTorch is asked about (bench/peers/cuda_peers.py): one line "case seconds" per figure, on stdout.
//   cuda_bench PLUGIN.so [case ...]       cases: k-means k-center step-small step-xl norms-small decode
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "model/language_model.h"
#include "select/k_center.h"
#include "select/k_means.h"

using namespace mendset;

namespace {

constexpr int64_t kRows = 1'000'000, kColumns = 768, kClusters = 1000, kCentres = 10'000;
constexpr int64_t kTokens = 1024;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Status run(Task& task) {
  while (!task.progress().finished) MS_TRY(task.step(Deadline::after_ms(1e300)));
  return {};
}

// Clustered points, cheap to draw: 2000 centres with noise around them.
std::vector<float> points() {
  std::vector<float> x(static_cast<size_t>(kRows * kColumns));
  uint32_t state = 1;
  const auto uniform = [&] {
    state = state * 1664525u + 1013904223u;
    return static_cast<float>(state >> 8) * 0x1p-24f - 0.5f;
  };
  std::vector<float> centres(2000 * static_cast<size_t>(kColumns));
  for (float& value : centres) value = uniform();
  for (size_t i = 0; i < static_cast<size_t>(kRows); ++i) {
    const float* const centre = centres.data() + i % 2000 * static_cast<size_t>(kColumns);
    for (size_t p = 0; p < static_cast<size_t>(kColumns); ++p) x[i * static_cast<size_t>(kColumns) + p] = centre[p] + uniform();
  }
  return x;
}

Status k_means(const std::shared_ptr<Backend>& backend, const std::vector<float>& x, double* seconds_per_iteration) {
  std::vector<double> start(x.begin(), x.begin() + kClusters * kColumns);
  double seconds[2];
  for (const int turn : {0, 1}) {
    KMeansOptions options;
    options.k = kClusters;
    options.max_iterations = turn == 0 ? 2 : 12;
    std::unique_ptr<KMeans> task;
    MS_TRY(KMeans::create(backend, {x.data(), kRows, kColumns}, options, start.data(), &task));
    const double before = now();
    MS_TRY(run(*task));
    seconds[turn] = now() - before;
  }
  *seconds_per_iteration = (seconds[1] - seconds[0]) / 10;
  return {};
}

Status k_center(const std::shared_ptr<Backend>& backend, const std::vector<float>& x, double* seconds) {
  KCenterOptions options;
  options.k = kCentres;
  std::unique_ptr<KCenterTask> task;
  MS_TRY(k_center_task(backend, {x.data(), kRows, kColumns}, options, &task));
  const double before = now();
  MS_TRY(run(*task));
  *seconds = now() - before;
  return {};
}

std::string config(int64_t layers, int64_t width, int64_t heads) {
  return R"({"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_layer":)" + std::to_string(layers) + R"(,"n_head":)" + std::to_string(heads) + R"(,"n_embd":)" +
         std::to_string(width) + R"(,"n_positions":1024,"n_ctx":1024,"vocab_size":50257,"layer_norm_epsilon":1e-5,"activation_function":"gelu_new","bos_token_id":50256,)" +
         R"("eos_token_id":50256,"tie_word_embeddings":true})";
}

struct Batch {
  std::vector<int32_t> ids, offsets{0};
  Batch(int64_t samples, int64_t tokens) {
    uint32_t state = 7;
    for (int64_t t = 0; t < samples * tokens; ++t) {
      state = state * 1664525u + 1013904223u;
      ids.push_back(static_cast<int32_t>((state >> 8) % 50257));
    }
    for (int64_t s = 1; s <= samples; ++s) offsets.push_back(static_cast<int32_t>(s * tokens));
  }
  PackedBatch view() const { return {ids, offsets, {}, {}}; }
};

// Median of `count` runs after two that do not count.
Status timed(int count, const std::function<Status()>& work, double* seconds) {
  std::vector<double> all;
  for (int i = 0; i < count + 2; ++i) {
    const double before = now();
    MS_TRY(work());
    if (i >= 2) all.push_back(now() - before);
  }
  std::sort(all.begin(), all.end());
  *seconds = all[all.size() / 2];
  return {};
}

Status step(const std::shared_ptr<Backend>& backend, const std::string& json, int64_t samples, double* seconds) {
  std::shared_ptr<Model> model;
  std::shared_ptr<Trainer> trainer;
  MS_TRY(create_model(backend, json, 1, &model));
  MS_TRY(create_trainer(model, nullptr, {}, nullptr, &trainer));
  const Batch batch(samples, kTokens);
  StepRequest request;
  request.chosen = batch.view();
  request.lr = 1e-5f;
  return timed(5, [&] {
    StepResult result;
    std::unique_ptr<Task> task;
    MS_TRY(step_task(trainer, request, &result, &task));
    return run(*task);
  }, seconds);
}

Status norms(const std::shared_ptr<Backend>& backend, double* seconds) {
  std::shared_ptr<Model> model;
  MS_TRY(create_model(backend, config(12, 768, 12), 1, &model));
  const Batch batch(16, kTokens);
  std::vector<double> squares(16 * tensors(*model).size());
  return timed(5, [&] {
    std::unique_ptr<Task> task;
    MS_TRY(gradient_norm_task(model, batch.view(), true, -1, squares.data(), {}, &task));
    return run(*task);
  }, seconds);
}

// 16 prompts of 64 tokens, 128 new ones each.
Status decode(const std::shared_ptr<Backend>& backend, double* seconds) {
  constexpr int64_t kNew = 128;
  std::shared_ptr<Model> model;
  MS_TRY(create_model(backend, config(12, 768, 12), 1, &model));
  const Batch batch(16, 64);
  std::vector<int32_t> ids(16 * kNew), lengths(16);
  std::vector<uint8_t> stopped(16);
  GenerateOptions options;
  options.max_new_tokens = kNew;
  options.greedy = true;
  options.eos = -1;
  return timed(3, [&] {
    std::unique_ptr<Task> task;
    MS_TRY(generate_task(model, batch.view(), options, ids.data(), lengths.data(), stopped.data(), &task));
    return run(*task);
  }, seconds);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: cuda_bench PLUGIN.so [k-means] [k-center] [step-small] [step-xl] [norms-small] [decode]\n");
    return 2;
  }
  std::shared_ptr<Backend> backend;
  Status status = open_plugin(arguments[1]);
  if (status.ok()) status = Backend::open("cuda", 0, &backend);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 1;
  }
  std::fprintf(stderr, "%s\n", backend->device());
  const auto wanted = [&](const char* name) {
    for (int i = 2; i < count; ++i) if (std::strcmp(arguments[i], name) == 0) return true;
    return count == 2;
  };
  std::vector<float> x;
  if (wanted("k-means") || wanted("k-center")) x = points();
  const std::pair<const char*, std::function<Status(double*)>> cases[] = {
      {"k-means", [&](double* s) { return k_means(backend, x, s); }},
      {"k-center", [&](double* s) { return k_center(backend, x, s); }},
      {"step-small", [&](double* s) { return step(backend, config(12, 768, 12), 16, s); }},
      {"step-xl", [&](double* s) { return step(backend, config(48, 1600, 25), 4, s); }},
      {"norms-small", [&](double* s) { return norms(backend, s); }},
      {"decode", [&](double* s) { return decode(backend, s); }},
  };
  int failures = 0;
  for (const auto& [name, work] : cases) {
    if (!wanted(name)) continue;
    double seconds = 0;
    if (const Status result = work(&seconds); result.ok()) {
      std::printf("%s %.6g\n", name, seconds);
    } else {
      std::printf("%s failed %s\n", name, result.message().c_str());
      ++failures;
    }
    std::fflush(stdout);
  }
  return failures == 0 ? 0 : 1;
}
