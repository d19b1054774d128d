// Generation: packed prompts of different lengths, sampling that does not depend on the batch, stopping, limits.
#include "backends_under_test.h"
#include "golden_model.h"

using namespace mendset;
using namespace mendset::test;

namespace {

struct Text {
  std::vector<int32_t> ids, lengths;
  std::vector<uint8_t> stopped;
  bool operator==(const Text&) const = default;
};

Text generate(const std::shared_ptr<Model>& model, const PackedBatch& prompts, const GenerateOptions& options,
              double budget_ms = 1e300) {
  const size_t samples = static_cast<size_t>(prompts.samples());
  Text text{std::vector<int32_t>(samples * static_cast<size_t>(options.max_new_tokens)), std::vector<int32_t>(samples),
            std::vector<uint8_t>(samples)};
  std::unique_ptr<Task> task;
  if (EXPECT_OK(generate_task(model, prompts, options, text.ids.data(), text.lengths.data(), text.stopped.data(), &task)))
    EXPECT_OK(run(task, budget_ms));
  return text;
}

// More prompts than decode together, of lengths 1 to 20.
struct Prompts {
  std::vector<int32_t> ids, offsets{0};
  std::vector<uint32_t> subs;
  explicit Prompts(const Golden& golden) {
    for (size_t s = 0; s < 70; ++s) {
      for (size_t t = 0; t <= s * 7 % 20; ++t) ids.push_back(golden.ids[(s + t) % 24]);
      offsets.push_back(static_cast<int32_t>(ids.size()));
      subs.push_back(static_cast<uint32_t>(1024 * s + 3));
    }
  }
};

void test_batches(const std::shared_ptr<Model>& model, const Golden& golden) {
  const Prompts prompts(golden);
  const PackedBatch all{prompts.ids, prompts.offsets, {}, {}};
  for (const bool greedy : {true, false}) {
    GenerateOptions options;
    options.max_new_tokens = 9;
    options.greedy = greedy;
    options.top_p = 0.9f;
    options.temperature = 0.8f;
    options.seed = 11;
    options.subs = prompts.subs;
    const Text together = generate(model, all, options);
    CHECK(generate(model, all, options, 0.001) == together);
    // A stop token that occurs: everything before it is unchanged.
    options.eos = together.ids[3];
    const Text stopped = generate(model, all, options);
    for (size_t s = 0; s < 70; s += greedy ? 23 : 3) {
      const std::vector<int32_t> offsets{0, prompts.offsets[s + 1] - prompts.offsets[s]};
      const PackedBatch one{
          std::span(prompts.ids).subspan(static_cast<size_t>(prompts.offsets[s]), static_cast<size_t>(offsets[1])),
          offsets,
          {},
          {}};
      GenerateOptions alone = options;
      alone.eos = -1;
      alone.subs = std::span(prompts.subs).subspan(s, 1);
      const Text text = generate(model, one, alone);
      const size_t row = 9 * s;
      CHECK(std::equal(text.ids.begin(), text.ids.end(), together.ids.begin() + static_cast<std::ptrdiff_t>(row)));
      size_t length = 0;
      while (length < 9 && text.ids[length] != options.eos) ++length;
      CHECK(stopped.lengths[s] == static_cast<int32_t>(length) && stopped.stopped[s] == (length < 9 ? 1 : 0));
      for (size_t i = 0; i < 9; ++i) CHECK(stopped.ids[row + i] == (i < length ? text.ids[i] : -1));
    }
    if (!greedy) {
      options.eos = -1;
      options.seed = 12;
      CHECK(!(generate(model, all, options) == together));
      options.top_k = 1;
      GenerateOptions best;
      best.max_new_tokens = 9;
      CHECK(generate(model, all, options) == generate(model, all, best));
    }
  }
}

void test_limits(const std::shared_ptr<Model>& model) {
  const std::vector<int32_t> ids(60, 5), offsets{0, 60};
  const PackedBatch prompt{ids, offsets, {}, {}};
  GenerateOptions options;
  options.max_new_tokens = 4;
  CHECK(generate(model, prompt, options).lengths[0] == 4);
  options.max_new_tokens = 0;
  CHECK(generate(model, prompt, options).lengths[0] == 0);
  std::vector<int32_t> out(100), lengths(1);
  std::vector<uint8_t> stopped(1);
  std::unique_ptr<Task> task;
  const auto refused = [&](auto change) {
    GenerateOptions bad;
    bad.max_new_tokens = 4;
    bad.greedy = false;
    change(bad);
    CHECK(generate_task(model, prompt, bad, out.data(), lengths.data(), stopped.data(), &task).code() == Code::invalid_argument);
  };
  const std::vector<uint32_t> subs(2);
  refused([](GenerateOptions& o) { o.max_new_tokens = 5; });
  refused([](GenerateOptions& o) { o.max_new_tokens = -1; });
  refused([](GenerateOptions& o) { o.temperature = 0; });
  refused([](GenerateOptions& o) { o.top_p = 0; });
  refused([](GenerateOptions& o) { o.top_p = 1.5f; });
  refused([](GenerateOptions& o) { o.top_k = -1; });
  refused([&](GenerateOptions& o) { o.subs = subs; });
}

}  // namespace

int main(int count, char** arguments) {
  for (const std::string& backend_name : backends_under_test(count, arguments)) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(backend_name, 2, &backend))) continue;
    for (const char* name : {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox"}) {
      const std::shared_ptr<Model> model = load(backend, golden_folder(name));
      const Golden golden(name);
      if (model == nullptr || golden.ids.empty()) continue;
      test_batches(model, golden);
      test_limits(model);
    }
  }
  return finish();
}
