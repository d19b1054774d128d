// A tiny golden model with batches for every loss, and steps on it.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "core/random.h"
#include "golden_model.h"

namespace mendset::test {

using Weights = std::vector<std::vector<float>>;

// A few packed samples of random ids below 256.
struct Batch {
  std::vector<int32_t> ids, offsets{0};
  std::vector<uint8_t> mask;
  Batch(uint64_t seed, const std::vector<int32_t>& lengths, bool masked) {
    RandomStream random(seed, 99);
    for (const int32_t length : lengths) {
      for (int32_t t = 0; t < length; ++t) {
        ids.push_back(static_cast<int32_t>(random.below(256)));
        if (masked) mask.push_back(t >= length / 2 ? 1 : 0);
      }
      offsets.push_back(static_cast<int32_t>(ids.size()));
    }
  }
  PackedBatch view() const { return {ids, offsets, mask, {}}; }
};

struct Setting {
  std::shared_ptr<Model> model, reference;
  Batch chosen{1, {9, 14, 5}, true}, rejected{2, {11, 8, 7}, true}, normal{3, {12, 1, 10}, false};
  std::vector<double> reference_chosen{-20.5, -40.25, -15}, reference_rejected{-30, -22.5, -19.75};
  std::vector<float> reference_hidden;

  Setting(const std::shared_ptr<Backend>& backend, const std::string& name) : Setting(load(backend, golden_folder(name))) {}
  explicit Setting(std::shared_ptr<Model> given) : model(std::move(given)) {
    if (model == nullptr || !EXPECT_OK(copy_model(model, &reference))) return;
    // A reference that differs from the model, so that KL and its gradient do not vanish.
    RandomStream random(7, 99);
    for (const TensorInfo& info : tensors(*reference)) {
      std::vector<float> values(static_cast<size_t>(info.count));
      EXPECT_OK(read_tensor(*reference, info.name, values));
      for (float& value : values) value += 0.05f * static_cast<float>(random.uniform() - 0.5);
      EXPECT_OK(write_tensor(*reference, info.name, values));
    }
    reference_hidden.resize(normal.ids.size() * static_cast<size_t>(summarize(*model).width));
    ScoreOutputs outputs;
    outputs.hidden = reference_hidden.data();
    std::unique_ptr<Task> task;
    if (EXPECT_OK(score_task(reference, normal.view(), outputs, &task))) EXPECT_OK(run(task));
  }

  StepRequest request(StepRequest::Loss loss, float weight_kl) const {
    StepRequest r;
    r.loss = loss;
    r.weight_repair = 0.5f;
    r.weight_kl = weight_kl;
    r.chosen = chosen.view();
    r.rejected = rejected.view();
    r.reference_chosen = reference_chosen;
    r.reference_rejected = reference_rejected;
    r.normal = normal.view();
    r.reference_hidden = reference_hidden;
    r.lr = 1e-3f;
    return r;
  }
};

inline StepResult step(const std::shared_ptr<Trainer>& trainer, const StepRequest& request, double budget_ms = 1e300) {
  StepResult result;
  std::unique_ptr<Task> task;
  if (EXPECT_OK(step_task(trainer, request, &result, &task))) EXPECT_OK(run(task, budget_ms));
  return result;
}

inline std::shared_ptr<Trainer> trainer_for(const Setting& setting, const OptimizerOptions& options = {}) {
  std::shared_ptr<Trainer> trainer;
  EXPECT_OK(create_trainer(setting.model, setting.reference, options, nullptr, &trainer));
  return trainer;
}

inline void set_tensors(Model& model, const Weights& weights, const Weights* direction = nullptr, double factor = 0) {
  for (size_t i = 0; i < weights.size(); ++i) {
    std::vector<float> values = weights[i];
    for (size_t k = 0; direction != nullptr && k < values.size(); ++k) {
      values[k] = static_cast<float>(static_cast<double>(values[k]) + factor * static_cast<double>((*direction)[i][k]));
    }
    EXPECT_OK(write_tensor(model, tensors(model)[i].name, values));
  }
}

inline Weights difference(const Weights& a, const Weights& b) {
  Weights out = a;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t k = 0; k < a[i].size(); ++k) out[i][k] -= b[i][k];
  }
  return out;
}

inline double square(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

inline Weights batch_gradients(const std::shared_ptr<Model>& model, const PackedBatch& batch, double* loss) {
  Weights values;
  std::vector<float*> pointers;
  for (const TensorInfo& info : tensors(*model)) pointers.push_back(values.emplace_back(static_cast<size_t>(info.count)).data());
  std::unique_ptr<Task> task;
  if (EXPECT_OK(gradient_task(model, batch, loss, pointers, &task))) EXPECT_OK(run(task));
  return values;
}

}  // namespace mendset::test
