// Every architecture against the transformers reference: logits, loss, gradients, greedy text, gradient norms; loading and
// saving.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "core/random.h"
#include "backends_under_test.h"
#include "golden_model.h"
#include "model/json.h"

using namespace mendset;
using namespace mendset::test;

namespace {

const char* const kModels[] = {"tiny-gpt2", "tiny-gpt-neo", "tiny-gpt-neox", "tiny-gpt-neox-seq"};

// Written by test/golden/decoders/make_decoders.py.
const char* const kVariants[] = {
    "gpt2-odd-heads",   "gpt2-unscaled",      "gpt2-by-layer",   "gpt2-bf16",         "gpt-neo-local-first", "gpt-neo-f16",
    "gpt-neox-quarter", "gpt-neox-whole",     "gpt-neox-linear", "llama",             "llama-one-key-head",  "llama-linear",
    "llama-dynamic",    "llama-llama3",       "llama-yarn",      "llama-yarn-scaled", "llama-bf16",          "mistral-window",
    "qwen2",            "qwen2-sliding",      "qwen3",           "qwen3-bias"};

struct Gradients {
  std::vector<std::vector<float>> values;
  double loss = 0;
};

Gradients gradients(const std::shared_ptr<Model>& model, const PackedBatch& batch, double budget_ms = 1e300) {
  Gradients result;
  std::vector<float*> pointers;
  for (const TensorInfo& info : tensors(*model))
    pointers.push_back(result.values.emplace_back(static_cast<size_t>(info.count)).data());
  std::unique_ptr<Task> task;
  if (EXPECT_OK(gradient_task(model, batch, &result.loss, pointers, &task))) EXPECT_OK(run(task, budget_ms));
  return result;
}

double norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

// transformers names the separate head's parameter differently from its stored tensor.
std::string gradient_name(const std::string& tensor) {
  return "grad." + (tensor == "embed_out.weight" ? std::string("lm_head.weight") : tensor);
}

void test_forward(const std::shared_ptr<Model>& model, const Golden& golden) {
  const size_t vocab = static_cast<size_t>(summarize(*model).vocab), width = static_cast<size_t>(summarize(*model).width);
  std::vector<float> logits(42 * vocab), hidden(42 * width), pooled(2 * width);
  std::vector<double> log_prob(42), el2n(42), margin(42);
  std::vector<int32_t> argmax(42);
  ScoreOutputs outputs;
  outputs.logits = logits.data();
  outputs.hidden = hidden.data();
  outputs.embedding = pooled.data();
  outputs.log_prob = log_prob.data();
  outputs.el2n = el2n.data();
  outputs.margin = margin.data();
  outputs.argmax = argmax.data();
  std::unique_ptr<Task> task;
  if (!EXPECT_OK(score_task(model, golden.batch(), outputs, &task)) || !EXPECT_OK(run(task, 0.001))) return;
  const std::vector<float> reference = golden.floats("logits");
  double worst = 0, loss = 0;
  for (size_t i = 0; i < logits.size(); ++i)
    worst = std::fmax(worst, std::abs(static_cast<double>(logits[i]) - static_cast<double>(reference[i])));
  CHECK(worst < 1e-4);
  for (const double value : log_prob) loss -= value / 40;
  CHECK(near(loss, static_cast<double>(golden.floats("loss")[0]), 2e-6));
  // Token 5 from its logits in fp64.
  const float* row = logits.data() + 4 * vocab;
  double total = 0, squares = 0, other = 0;
  size_t best = 0;
  const size_t target = static_cast<size_t>(golden.ids[5]);
  for (size_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(row[v]));
  for (size_t v = 0; v < vocab; ++v) {
    const double p = std::exp(static_cast<double>(row[v])) / total, difference = p - (v == target ? 1 : 0);
    squares += difference * difference;
    if (v != target) other = std::fmax(other, p);
    if (row[v] > row[best]) best = v;
  }
  const double p = std::exp(static_cast<double>(row[target])) / total;
  CHECK(near(log_prob[5], std::log(p), 1e-5));
  CHECK(near(el2n[5], std::sqrt(squares), 1e-5));
  CHECK(near(margin[5], p - other, 1e-5));
  CHECK(argmax[5] == static_cast<int32_t>(best));
  CHECK(log_prob[0] == 0 && argmax[24] == -1);
  for (size_t s = 0; s < 2; ++s) {
    std::vector<float> mean(width);
    for (size_t c = 0; c < width; ++c) {
      double sum = 0;
      for (int32_t t = golden.offsets[s]; t < golden.offsets[s + 1]; ++t)
        sum += static_cast<double>(hidden[static_cast<size_t>(t) * width + c]);
      mean[c] = static_cast<float>(sum / (golden.offsets[s + 1] - golden.offsets[s]));
    }
    for (size_t c = 0; c < width; ++c)
      CHECK(near(static_cast<double>(pooled[s * width + c]), static_cast<double>(mean[c]) / norm(mean), 1e-6));
  }
  // Without whole rows the pass leaves out what cannot matter: same numbers.
  std::vector<double> again(42);
  ScoreOutputs only;
  only.log_prob = again.data();
  std::vector<uint8_t> mask(42, 0);
  for (const size_t t : {3, 10, 30}) mask[t] = 1;
  PackedBatch masked = golden.batch();
  masked.mask = mask;
  if (EXPECT_OK(score_task(model, masked, only, &task)) && EXPECT_OK(run(task))) {
    for (size_t t = 0; t < 42; ++t) CHECK(near(again[t], mask[t] != 0 ? log_prob[t] : 0, 1e-6));
  }
}

void test_gradients(const std::shared_ptr<Model>& model, const Golden& golden) {
  const Gradients all = gradients(model, golden.batch());
  CHECK(near(all.loss, static_cast<double>(golden.floats("loss")[0]), 2e-6));
  for (size_t i = 0; i < all.values.size(); ++i) {
    std::vector<float> difference = golden.floats(gradient_name(tensors(*model)[i].name));
    const double size = norm(difference);
    for (size_t k = 0; k < difference.size(); ++k) difference[k] -= all.values[i][k];
    CHECK(norm(difference) < 1e-3 * size);
  }
  const Gradients stepped = gradients(model, golden.batch(), 0.001);
  CHECK(stepped.values == all.values && stepped.loss == all.loss);
}

void test_gradient_norms(const std::shared_ptr<Model>& model, const Golden& golden) {
  const size_t count = tensors(*model).size();
  std::vector<uint8_t> mask(42, 1);
  for (const size_t t : {2, 3, 9, 23, 30, 31, 41}) mask[t] = 0;
  for (const bool masked : {false, true}) {
    for (const bool token_mean : {true, false}) {
      PackedBatch batch = golden.batch();
      if (masked) batch.mask = mask;
      std::vector<double> squares(2 * count), block(2 * count);
      std::unique_ptr<Task> task;
      if (!EXPECT_OK(gradient_norm_task(model, batch, token_mean, -1, squares.data(), {}, &task)) || !EXPECT_OK(run(task, 0.001)))
        return;
      if (EXPECT_OK(gradient_norm_task(model, batch, token_mean, 1, block.data(), {}, &task))) EXPECT_OK(run(task));
      double global = 0, expected_global = 0, sum = 0, expected_sum = 0;
      for (size_t s = 0; s < 2; ++s) {
        const size_t begin = static_cast<size_t>(golden.offsets[s]), end = static_cast<size_t>(golden.offsets[s + 1]);
        const std::vector<int32_t> offsets{0, static_cast<int32_t>(end - begin)};
        PackedBatch one{std::span(golden.ids).subspan(begin, end - begin), offsets, {}, {}};
        if (masked) one.mask = std::span(mask).subspan(begin, end - begin);
        double scored = 0;
        for (size_t t = begin + 1; t < end; ++t) scored += masked && mask[t] == 0 ? 0 : 1;
        const Gradients alone = gradients(model, one);
        for (size_t i = 0; i < count; ++i) {
          const double expected = norm(alone.values[i]) * (token_mean ? 1 : scored), got = std::sqrt(squares[s * count + i]);
          CHECK(near(got, expected, 1e-9, 1e-5));
          CHECK(near(block[s * count + i], tensors(*model)[i].block == 1 ? squares[s * count + i] : 0, 1e-12, 1e-6));
          global += got * got;
          expected_global += expected * expected;
          sum += got;
          expected_sum += expected;
        }
      }
      CHECK(near(std::sqrt(global), std::sqrt(expected_global), 0, 1e-5));
      CHECK(near(sum, expected_sum, 0, 1e-5));
    }
  }
}

void test_greedy(const std::shared_ptr<Model>& model, const Golden& golden) {
  const std::vector<int64_t> expected = golden.integers("greedy");
  const std::vector<int32_t> prompt(golden.ids.begin(), golden.ids.begin() + 8), offsets{0, 8};
  std::vector<int32_t> ids(12), length(1);
  std::vector<uint8_t> stopped(1);
  GenerateOptions options;
  options.max_new_tokens = 12;
  std::unique_ptr<Task> task;
  if (!EXPECT_OK(generate_task(model, {prompt, offsets, {}, {}}, options, ids.data(), length.data(), stopped.data(), &task)) ||
      !EXPECT_OK(run(task, 0.001)))
    return;
  for (size_t i = 0; i < 12; ++i) CHECK(ids[i] == expected[8 + i]);
  CHECK(length[0] == 12 && stopped[0] == 0);
}

struct Folder {
  std::string path = "/tmp/mendset-model-test-XXXXXX";
  Folder() { CHECK(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::system(("rm -r '" + path + "'").c_str()) == 0 ? void() : void(); }
};

void save(const std::shared_ptr<Model>& model, const std::string& path, const char* dtype, int64_t shard_bytes,
          double budget_ms) {
  std::unique_ptr<Task> task;
  if (EXPECT_OK(save_model_task(model, path, dtype, shard_bytes, &task))) EXPECT_OK(run(task, budget_ms));
}

void test_files(const std::shared_ptr<Backend>& backend, const std::shared_ptr<Model>& model, const std::string& name) {
  const std::vector<std::vector<float>> weights = all_tensors(*model);
  if (const auto sharded = load(backend, golden_folder(name + "-sharded"))) CHECK(all_tensors(*sharded) == weights);
  Folder folder;
  save(model, folder.path, "F32", 0, 0.001);
  if (const auto again = load(backend, folder.path)) CHECK(all_tensors(*again) == weights);
  save(model, folder.path, "F32", 40000, 1e300);  // takes the place of the single file
  CHECK(!file_exists(folder.path + "/model.safetensors") && file_exists(folder.path + "/model.safetensors.index.json"));
  if (const auto again = load(backend, folder.path)) CHECK(all_tensors(*again) == weights);
  save(model, folder.path, "BF16", 0, 1e300);
  if (const auto narrow = load(backend, folder.path)) {
    CHECK(summarize(*narrow).stored_dtype == "BF16");
    const std::vector<std::vector<float>> rounded = all_tensors(*narrow);
    bool equal = true;
    for (size_t i = 0; i < weights.size(); ++i) {
      for (size_t k = 0; k < weights[i].size(); ++k)
        equal &= rounded[i][k] == float_from_bfloat16(bfloat16_from_float(weights[i][k]));
    }
    CHECK(equal);
  }
  // The saved config keeps unknown keys and carries both spellings.
  std::string text;
  Json config;
  if (!EXPECT_OK(read_text_file(folder.path + "/config.json", &text)) || !EXPECT_OK(Json::parse(text, &config))) return;
  CHECK(config.find("transformers_version") != nullptr);
  CHECK(config.find("dtype")->as_string() == "bfloat16" && config.find("torch_dtype")->as_string() == "bfloat16");
  if (name == "tiny-gpt-neox-seq")
    CHECK(config.find("rotary_pct")->as_number() == 1 && config.find("rotary_emb_base")->as_number() == 10000);
  if (name == "tiny-gpt-neo")
    CHECK(config.find("attention_types") != nullptr && config.find("attention_layers")->items().size() == 4);
}

// Saved in the element type that the file had, the weights come back bit for bit and the config means the same.
void test_round_trip(const std::shared_ptr<Backend>& backend, const std::shared_ptr<Model>& model, const Golden& golden) {
  const ModelSummary summary = summarize(*model);
  Folder folder;
  save(model, folder.path, summary.stored_dtype.c_str(), 0, 0.001);
  const std::shared_ptr<Model> again = load(backend, folder.path);
  if (again == nullptr) return;
  CHECK(summarize(*again).stored_dtype == summary.stored_dtype);
  CHECK(all_tensors(*again) == all_tensors(*model));
  test_forward(again, golden);
}

// An IRepair step changes the block that it chose and nothing else.
void test_repair_step(const std::shared_ptr<Backend>& backend, const std::string& folder, const Golden& golden) {
  const std::shared_ptr<Model> model = load(backend, folder);
  std::shared_ptr<Trainer> trainer;
  if (model == nullptr || !EXPECT_OK(create_trainer(model, nullptr, {}, nullptr, &trainer))) return;
  const std::vector<std::vector<float>> before = all_tensors(*model);
  StepRequest request;
  request.chosen = request.sensitivity = golden.batch();
  request.slice = Slice::most_sensitive;
  request.lr = 1e-3f;
  for (const bool checkpoint : {false, true}) {
    request.checkpoint = checkpoint;
    StepResult result;
    std::unique_ptr<Task> task;
    if (!EXPECT_OK(step_task(trainer, request, &result, &task)) || !EXPECT_OK(run(task, 0.001))) return;
    CHECK(result.blocks.size() == 1 && result.gradient_norm > 0);
    const int32_t chosen = result.blocks.empty() ? -1 : result.blocks[0];
    if (checkpoint) continue;
    const std::vector<std::vector<float>> after = all_tensors(*model);
    for (size_t i = 0; i < before.size(); ++i) CHECK((before[i] == after[i]) == (tensors(*model)[i].block != chosen));
  }
}

// A folder with the tiny model's tensors, changed by `change`, and its config, changed by `edit`.
template <typename Change, typename Edit>
Status load_variant(const std::shared_ptr<Backend>& backend, const std::string& name, Change&& change, Edit&& edit,
                    std::shared_ptr<Model>* out) {
  Folder folder;
  std::string text;
  Json config;
  MS_TRY(read_text_file(golden_folder(name) + "/config.json", &text));
  MS_TRY(Json::parse(text, &config));
  edit(config);
  MS_TRY(write_text_file(folder.path + "/config.json", config.write(2)));
  std::shared_ptr<SafetensorsFile> file;
  MS_TRY(SafetensorsFile::open(golden_folder(name) + "/model.safetensors", &file));
  std::vector<TensorToWrite> declared;
  std::vector<std::vector<float>> values;
  for (const StoredTensor& tensor : file->tensors()) {
    declared.push_back({tensor.name, "F32", tensor.shape});
    MS_TRY(file->read(tensor, values.emplace_back(static_cast<size_t>(tensor.count)).data()));
  }
  change(declared, values);
  SafetensorsWriter writer;
  MS_TRY(SafetensorsWriter::create(folder.path + "/model.safetensors", declared, {}, &writer));
  for (const std::vector<float>& tensor : values) MS_TRY(writer.append(tensor.data()));
  MS_TRY(writer.finish());
  std::unique_ptr<Task> task;
  MS_TRY(load_model_task(backend, folder.path, false, out, &task));
  return run(task);
}

void test_variants(const std::shared_ptr<Backend>& backend, const std::shared_ptr<Model>& gpt2) {
  using Tensors = std::vector<TensorToWrite>;
  using Values = std::vector<std::vector<float>>;
  const auto same_tensors = [](Tensors&, Values&) {};
  const auto same_config = [](Json&) {};
  const std::vector<std::vector<float>> weights = all_tensors(*gpt2);
  std::shared_ptr<Model> model;
  const auto find = [](const Tensors& tensors, const std::string& name) {
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].name == name) return i;
    }
    return tensors.size();
  };
  // No prefix, old buffers, and a stored head equal to the embedding.
  if (EXPECT_OK(load_variant(
          backend, "tiny-gpt2",
          [&](Tensors& tensors, Values& values) {
            for (TensorToWrite& tensor : tensors) tensor.name = tensor.name.substr(std::string("transformer.").size());
            tensors.push_back({"h.0.attn.bias", "F32", {1, 1, 2, 2}});
            values.push_back({1, 0, 1, 1});
            tensors.push_back({"h.1.attn.masked_bias", "F32", {}});
            values.push_back({-1e4f});
            const size_t wte = find(tensors, "wte.weight");
            tensors.push_back({"lm_head.weight", "F32", tensors[wte].shape});
            values.push_back(std::vector<float>(values[wte]));
          },
          same_config, &model))) {
    CHECK(all_tensors(*model) == weights);
    CHECK(tensors(*model)[0].name == "wte.weight");
  }
  const auto refused = [&](const Status& status, Code code, const char* word) {
    CHECK(status.code() == code);
    CHECK(status.message().find(word) != std::string::npos);
    if (status.message().find(word) == std::string::npos) std::printf("got: %s\n", status.message().c_str());
  };
  refused(load_variant(
              backend, "tiny-gpt2",
              [&](Tensors& tensors, Values& values) {
                const size_t wte = find(tensors, "transformer.wte.weight");
                tensors.push_back({"lm_head.weight", "F32", tensors[wte].shape});
                values.push_back(std::vector<float>(values[wte].size(), 1.0f));
              },
              same_config, &model),
          Code::corrupt, "lm_head.weight");
  refused(load_variant(
              backend, "tiny-gpt2",
              [&](Tensors& tensors, Values&) { tensors[find(tensors, "transformer.ln_f.bias")].name = "transformer.extra"; },
              same_config, &model),
          Code::corrupt, "transformer.ln_f.bias");
  refused(load_variant(
              backend, "tiny-gpt2",
              [&](Tensors& tensors, Values& values) {
                tensors.push_back({"transformer.extra", "F32", {1}});
                values.push_back({1});
              },
              same_config, &model),
          Code::unsupported, "transformer.extra");
  refused(load_variant(
              backend, "tiny-gpt2", same_tensors, [](Json& config) { config.set("n_embd", Json::integer(64)); }, &model),
          Code::corrupt, "[257, 64]");
  refused(load_variant(
              backend, "tiny-gpt2", same_tensors, [](Json& config) { config.set("n_head", Json::integer(5)); }, &model),
          Code::invalid_argument, "heads");
  refused(load_variant(
              backend, "tiny-gpt2", same_tensors, [](Json& config) { config.set("n_layer", Json::string("x")); }, &model),
          Code::invalid_argument, "n_layer");
  refused(load_variant(
              backend, "tiny-gpt2", same_tensors, [](Json& config) { config.set("model_type", Json::string("bert")); }, &model),
          Code::unsupported, "bert");
  for (const char* key : {"add_cross_attention", "quantization_config", "attention_sinks"}) {
    refused(load_variant(
                backend, "tiny-gpt2", same_tensors, [&](Json& config) { config.set(key, Json::boolean(true)); }, &model),
            Code::unsupported, key);
  }
  refused(load_variant(
              backend, "tiny-gpt-neox", same_tensors,
              [](Json& config) {
                Json scaling = Json::object();
                scaling.set("rope_type", Json::string("longrope"));
                config.set("rope_scaling", scaling);
              },
              &model),
          Code::unsupported, "longrope");
  // Old spellings give the same model.
  if (EXPECT_OK(load_variant(
          backend, "tiny-gpt-neox-seq", same_tensors,
          [](Json& config) {
            config.set("rope_parameters", Json());
            config.set("rotary_pct", Json::number(1.0));
            config.set("rotary_emb_base", Json::integer(10000));
          },
          &model))) {
    test_forward(model, Golden("tiny-gpt-neox-seq"));
  }
  if (EXPECT_OK(load_variant(
          backend, "tiny-gpt-neo", same_tensors, [](Json& config) { config.set("attention_layers", Json()); }, &model))) {
    test_forward(model, Golden("tiny-gpt-neo"));
  }
}

void test_input_errors(const std::shared_ptr<Model>& model) {
  std::unique_ptr<Task> task;
  const auto refused = [&](std::vector<int32_t> ids, std::vector<int32_t> offsets, std::vector<uint8_t> mask,
                           std::vector<int32_t> positions) {
    double loss = 0;
    std::vector<float*> none(tensors(*model).size(), nullptr);
    const Status status = gradient_task(model, {ids, offsets, mask, positions}, &loss, none, &task);
    CHECK(status.code() == Code::invalid_argument && !status.message().empty());
  };
  refused({1, 2, 257}, {0, 3}, {}, {});
  refused({1, 2, -1}, {0, 3}, {}, {});
  refused({1, 2, 3}, {0, 2}, {}, {});
  refused({1, 2, 3}, {0, 3, 3}, {}, {});
  refused({1, 2, 3}, {1, 3}, {}, {});
  refused({1, 2, 3}, {0}, {}, {});
  refused({}, {}, {}, {});
  refused(std::vector<int32_t>(65, 1), {0, 65}, {}, {});
  refused({1, 2, 3}, {0, 3}, {1, 1}, {});
  refused({1, 2, 3}, {0, 3}, {}, {0, 1});
  refused({1, 2, 3}, {0, 3}, {}, {0, 1, 64});
  refused({1, 2, 3}, {0, 3}, {1, 0, 0}, {});  // the first token is never a target
  refused({1, 2, 3}, {0, 1, 2, 3}, {}, {});
}

void test_create(const std::shared_ptr<Backend>& backend) {
  std::string text;
  if (!EXPECT_OK(read_text_file(golden_folder("tiny-gpt2") + "/config.json", &text))) return;
  std::shared_ptr<Model> a, b, c, copy;
  if (!EXPECT_OK(create_model(backend, text, 1, &a)) || !EXPECT_OK(create_model(backend, text, 1, &b)) ||
      !EXPECT_OK(create_model(backend, text, 2, &c)))
    return;
  CHECK(all_tensors(*a) == all_tensors(*b));
  CHECK(all_tensors(*a) != all_tensors(*c));
  if (EXPECT_OK(copy_model(a, &copy))) CHECK(all_tensors(*copy) == all_tensors(*a));
  const auto deviation = [&](const std::string& name) {
    for (const TensorInfo& info : tensors(*a)) {
      if (info.name != name) continue;
      std::vector<float> values(static_cast<size_t>(info.count));
      EXPECT_OK(read_tensor(*a, name, values));
      return norm(values) / std::sqrt(static_cast<double>(info.count));
    }
    return 0.0;
  };
  CHECK(near(deviation("transformer.wte.weight"), 0.02, 0.001));
  CHECK(near(deviation("transformer.h.0.attn.c_attn.weight"), 0.02, 0.001));
  CHECK(near(deviation("transformer.h.0.mlp.c_proj.weight"), 0.02 / std::sqrt(6.0), 0.0005));
  CHECK(deviation("transformer.h.2.ln_1.weight") == 1 && deviation("transformer.h.2.ln_1.bias") == 0);
  const ModelSummary summary = summarize(*a);
  CHECK(summary.family == "gpt2" && summary.parameters == 48448 && summary.eos == 256 && summary.tied_head);
}

}  // namespace

int main(int count, char** arguments) {
  int failures = 0;
  for (const std::string& name : backends_under_test(count, arguments)) {
    std::shared_ptr<Backend> backend;
    if (!EXPECT_OK(Backend::open(name, 2, &backend))) continue;
    for (const char* model_name : kModels) {
      const std::shared_ptr<Model> model = load(backend, golden_folder(model_name));
      const Golden golden(model_name);
      if (model == nullptr || golden.ids.empty()) continue;
      test_forward(model, golden);
      test_gradients(model, golden);
      test_gradient_norms(model, golden);
      test_greedy(model, golden);
      test_files(backend, model, model_name);
    }
    for (const std::string variant : kVariants) {
      const std::string folder = golden_folder("decoders/" + variant);
      const std::shared_ptr<Model> model = load(backend, folder);
      const Golden golden("decoders/" + variant);
      if (model == nullptr || golden.ids.empty()) continue;
      test_forward(model, golden);
      test_gradients(model, golden);
      test_gradient_norms(model, golden);
      test_greedy(model, golden);
      test_round_trip(backend, model, golden);
      test_repair_step(backend, folder, golden);
      if (failed > failures) std::printf("^ %s on %s\n", variant.c_str(), name.c_str());
      failures = failed;
    }
    const std::shared_ptr<Model> gpt2 = load(backend, golden_folder("tiny-gpt2"));
    if (gpt2 == nullptr) continue;
    test_variants(backend, gpt2);
    test_input_errors(gpt2);
    test_create(backend);
  }
  return finish();
}
