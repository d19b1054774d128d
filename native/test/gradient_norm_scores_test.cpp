// Scores that come with gradient norms: the bits of a scoring pass of their own (on a device, whose products share their depth out by the number of rows,
// up to rounding), and the norms are those without them.
//   gradient_norm_scores_test [PLUGIN.so [small]]       small: the fewest samples and models, for an emulated device
#include <functional>

#include "backends_under_test.h"
#include "step_setting.h"

using namespace mendset;
using namespace mendset::test;

namespace {

struct Scores {
  std::vector<double> log_prob, el2n, margin;
  std::vector<int32_t> argmax;
  // no token holds these before a pass
  explicit Scores(size_t tokens) : log_prob(tokens, 7), el2n(tokens, 7), margin(tokens, 7), argmax(tokens, 7) {}
  TokenOutputs outputs() { return {log_prob.data(), el2n.data(), margin.data(), argmax.data()}; }
  bool operator==(const Scores&) const = default;
  bool near(const Scores& other) const {
    bool same = argmax == other.argmax;
    for (size_t t = 0; t < log_prob.size(); ++t) {
      same = same && test::near(log_prob[t], other.log_prob[t], 1e-4) && test::near(el2n[t], other.el2n[t], 1e-4) && test::near(margin[t], other.margin[t], 1e-4);
    }
    return same;
  }
};

// Head chunks end at other rows than those of scoring, and the passes at other samples when they hold more than one.
const char* const kWideVocabulary =
    R"({"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2, "n_positions": 64, "vocab_size": 40001, "tie_word_embeddings": )";
const char* const kLlama =
    R"({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 64, "vocab_size": 300, "tie_word_embeddings": false})";

std::vector<int32_t> lengths(int32_t samples) {
  std::vector<int32_t> all;
  for (int32_t s = 0; s < samples; ++s) all.push_back(1 + 7 * s % 24);  // one token alone has no target
  return all;
}

void test_same_scores(const std::string& backend_name,
                      const std::function<std::shared_ptr<Model>(const std::shared_ptr<Backend>&)>& open, int32_t samples) {
  const bool on_device = backend_name == "cuda";
  const auto equal = [&](const Scores& a, const Scores& b) { return on_device ? a.near(b) : a == b; };
  for (const bool completion : {false, true}) {
    Batch batch(11, lengths(samples), completion);
    if (completion) {  // a sample without any scored token between others
      for (int32_t t = batch.offsets[4]; t < batch.offsets[5]; ++t) batch.mask[static_cast<size_t>(t)] = 0;
    }
    const size_t tokens = batch.ids.size();
    Scores first(0);
    for (const int threads : {1, 2, 5}) {
      if (threads > 1 && (on_device || backend_name == "plain")) continue;  // they have one
      std::shared_ptr<Backend> backend;
      if (!EXPECT_OK(Backend::open(backend_name, threads, &backend))) return;
      const std::shared_ptr<Model> model = open(backend);
      if (model == nullptr) return;
      for (int32_t& id : batch.ids) id %= static_cast<int32_t>(summarize(*model).vocab);
      const size_t cells = static_cast<size_t>(samples) * tensors(*model).size();
      Scores expected(tokens);
      std::unique_ptr<Task> task;
      ScoreOutputs scoring;
      static_cast<TokenOutputs&>(scoring) = expected.outputs();
      if (EXPECT_OK(score_task(model, batch.view(), scoring, &task))) EXPECT_OK(run(task));
      if (threads == 1) first = expected;
      CHECK(expected == first);

      std::vector<double> alone(cells);
      if (EXPECT_OK(gradient_norm_task(model, batch.view(), true, -1, alone.data(), {}, &task))) EXPECT_OK(run(task));
      for (const double budget_ms : {0.0, 1e300}) {
        Scores beside(tokens);
        std::vector<double> squares(cells);
        if (EXPECT_OK(gradient_norm_task(model, batch.view(), true, -1, squares.data(), beside.outputs(), &task)))
          EXPECT_OK(run(task, budget_ms));
        CHECK(equal(beside, expected));
        CHECK(squares == alone);
      }
      // the weighting of the loss and the choice of tensors change the norms alone, and single outputs can be asked for
      for (const int block : {-1, 1}) {
        Scores beside(tokens);
        std::vector<double> squares(cells);
        if (EXPECT_OK(gradient_norm_task(model, batch.view(), false, block, squares.data(), beside.outputs(), &task)))
          EXPECT_OK(run(task));
        CHECK(equal(beside, expected));
        TokenOutputs one;
        Scores named = expected;
        std::vector<double> el2n(tokens, 7);
        one.el2n = el2n.data();
        std::vector<double> again(cells);
        if (EXPECT_OK(gradient_norm_task(model, batch.view(), false, block, again.data(), one, &task))) EXPECT_OK(run(task));
        CHECK(again == squares);
        named.el2n = el2n;
        CHECK(equal(named, expected));
      }
      // what is no scored target holds nothing, the others do
      size_t scored = 0;
      for (size_t t = 0; t < tokens; ++t) {
        if (expected.argmax[t] == -1) {
          CHECK(expected.log_prob[t] == 0 && expected.el2n[t] == 0 && expected.margin[t] == 0);
        } else {
          CHECK(expected.log_prob[t] < 0 && expected.el2n[t] > 0);
          ++scored;
        }
      }
      size_t wanted = 0;
      for (size_t s = 0; s < static_cast<size_t>(samples); ++s) {
        for (auto t = static_cast<size_t>(batch.offsets[s]) + 1; t < static_cast<size_t>(batch.offsets[s + 1]); ++t)
          wanted += completion ? batch.mask[t] : 1;
      }
      CHECK(scored == wanted && scored > 0);
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const bool small = count > 2;
  for (const std::string& backend_name : backends_under_test(count, arguments)) {
    for (const char* name : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"}) {
      if (small && std::string(name) != "tiny-gpt2") continue;
      // more tokens than one pass takes
      test_same_scores(
          backend_name, [name](const auto& backend) { return load(backend, golden_folder(name)); }, small ? 6 : 120);
    }
    // in the 16 bits of the file where the backend reads them
    const auto load_as_stored = [](const std::shared_ptr<Backend>& backend) {
      return load(backend, golden_folder("decoders/gpt2-bf16"), (backend->table().weight_types >> MS_TYPE_BF16 & 1) != 0);
    };
    if (!small) test_same_scores(backend_name, load_as_stored, 20);
    std::vector<std::string> configs{kLlama};
    for (const char* tied : {"true}", "false}"}) if (!small) configs.push_back(kWideVocabulary + std::string(tied));
    for (const std::string& config : configs) {
      const auto create = [&config](const std::shared_ptr<Backend>& backend) {
        std::shared_ptr<Model> model;
        EXPECT_OK(create_model(backend, config, 3, &model));
        return model;
      };
      test_same_scores(backend_name, create, small ? 6 : config == kLlama ? 120 : 40);
    }
  }
  return finish();
}
