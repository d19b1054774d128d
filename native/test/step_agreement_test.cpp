// Whole training steps on a tiny model: forward, losses, backward and optimiser of every backend against the processor's. Three steps with the same
// shapes, so that a backend that replays what comes again does so.
#include <cstdlib>

#include "backends_under_test.h"
#include "step_setting.h"

using namespace mendset;
using namespace mendset::test;

namespace {

constexpr const char* kConfig =
    R"({"model_type":"gpt2","architectures":["GPT2LMHeadModel"],"n_layer":2,"n_head":2,"n_embd":16,"n_positions":16,"n_ctx":16,"vocab_size":256,)"
    R"("layer_norm_epsilon":1e-5,"activation_function":"gelu_new","bos_token_id":255,"eos_token_id":255,"tie_word_embeddings":true})";
constexpr int kSteps = 3;

struct Course {
  std::vector<StepResult> steps;
  Weights weights;
};

struct Case {
  const char* name;
  StepRequest::Loss loss;
  float weight_kl;
  int kl_direction;
  OptimizerOptions::Kind optimizer;
  bool chooses_block;  // by sensitivity, as IRepair does
};

Course train(const std::string& backend_name, const Case& each) {
  Course course;
  std::shared_ptr<Backend> backend;
  std::shared_ptr<Model> model;
  if (!EXPECT_OK(Backend::open(backend_name, 1, &backend)) || !EXPECT_OK(create_model(backend, kConfig, 5, &model))) return course;
  const Setting setting(model);
  OptimizerOptions options;
  options.kind = each.optimizer;
  options.epsilon = 1e-2f;  // so that a gradient of almost nothing moves a weight by almost nothing
  const std::shared_ptr<Trainer> trainer = trainer_for(setting, options);
  StepRequest request = setting.request(each.loss, each.weight_kl);
  request.kl_direction = each.kl_direction;
  request.lr = 1e-2f;
  request.clip_norm = 1;
  if (each.chooses_block) {
    request.slice = Slice::most_sensitive;
    request.sensitivity = setting.rejected.view();
  }
  for (int i = 0; i < kSteps; ++i) course.steps.push_back(step(trainer, request));
  course.weights = all_tensors(*model);
  return course;
}

void test_agreement(const std::string& backend, const Case& each) {
  const Course expected = train("cpu", each), got = train(backend, each);
  if (expected.steps.size() != kSteps || got.steps.size() != kSteps) return;
  for (size_t i = 0; i < kSteps; ++i) {
    const StepResult &a = got.steps[i], &b = expected.steps[i];
    CHECK(near(a.loss, b.loss, 0, 1e-5) && near(a.loss_repair, b.loss_repair, 0, 1e-5) && near(a.loss_kl, b.loss_kl, 1e-6, 1e-5));
    CHECK(near(a.gradient_norm, b.gradient_norm, 0, 1e-4) && a.blocks == b.blocks);
    CHECK(a.sensitivities.size() == b.sensitivities.size());
    for (size_t s = 0; s < a.sensitivities.size(); ++s) CHECK(near(a.sensitivities[s], b.sensitivities[s], 0, 1e-4));
  }
  CHECK(std::abs(expected.steps[2].loss - expected.steps[0].loss) > 1e-4);  // the weights have moved
  // three steps move a weight by up to 3e-2
  for (size_t t = 0; t < expected.weights.size(); ++t) {
    for (size_t i = 0; i < expected.weights[t].size(); ++i) CHECK(near(got.weights[t][i], expected.weights[t][i], 1e-5));
  }
}

}  // namespace

int main(int count, char** arguments) {
  using Loss = StepRequest::Loss;
  using Kind = OptimizerOptions::Kind;
  const Case cases[] = {
      {"CE and KL", Loss::ce, 0.5f, MS_KL_FORWARD, Kind::rmsprop, false},
      {"DPO and reverse KL", Loss::dpo, 0.5f, MS_KL_REVERSE, Kind::adamw, false},
      {"IRepair", Loss::ce, 1, MS_KL_FORWARD, Kind::rmsprop, true},
      {"NPO", Loss::npo, 0, MS_KL_FORWARD, Kind::adamw, false},
  };
  for (const std::string& backend : backends_under_test(count, arguments)) {
    if (backend == "cpu") continue;
    for (const Case& each : cases) {
      test_agreement(backend, each);
      std::printf("%s: %s\n", backend.c_str(), each.name);
    }
  }
  return finish();
}
