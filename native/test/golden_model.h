// Loading the tiny-hf golden models and their reference results in tests.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "model/language_model.h"
#include "model/safetensors.h"

namespace mendset::test {

// A name of tiny-hf, or of another folder of golden files with its place: "decoders/llama".
inline std::string golden_folder(const std::string& name) {
  return std::string(MENDSET_SOURCE_DIR) + "/test/golden/" + (name.find('/') == std::string::npos ? "tiny-hf/" : "") + name;
}

inline bool expect_ok(const Status& status, const char* file, int line) {
  if (!status.ok()) std::printf("%s:%d: %s: %s\n", file, line, code_name(status.code()), status.message().c_str());
  check(status.ok(), "status is ok", file, line);
  return status.ok();
}
#define EXPECT_OK(expression) ::mendset::test::expect_ok((expression), __FILE__, __LINE__)

inline Status run(std::unique_ptr<Task>& task, double budget_ms = 1e300) {
  while (!task->progress().finished) MS_TRY(task->step(Deadline::after_ms(budget_ms)));
  return {};
}

inline std::shared_ptr<Model> load(const std::shared_ptr<Backend>& backend, const std::string& directory, bool as_stored = false) {
  std::shared_ptr<Model> model;
  std::unique_ptr<Task> task;
  if (EXPECT_OK(load_model_task(backend, directory, as_stored, &model, &task))) EXPECT_OK(run(task));
  return model;
}

// The two rows of the reference without padding: 24 and 18 tokens.
struct Golden {
  std::shared_ptr<SafetensorsFile> file;
  std::vector<int32_t> ids, offsets{0, 24, 42};
  std::vector<int64_t> source_row;  // row of the padded [48] arrays for each token

  explicit Golden(const std::string& name) {
    if (!EXPECT_OK(SafetensorsFile::open(golden_folder(name) + "/reference.safetensors", &file))) return;
    const std::vector<int64_t> padded = integers("input_ids");
    for (int64_t row = 0; row < 42; ++row) {
      source_row.push_back(row);
      ids.push_back(static_cast<int32_t>(padded[static_cast<size_t>(row)]));
    }
  }
  PackedBatch batch() const { return {ids, offsets, {}, {}}; }
  std::vector<int64_t> integers(const std::string& name) const {
    const StoredTensor* tensor = file->find(name);
    std::vector<int64_t> values(static_cast<size_t>(tensor->count));
    std::memcpy(values.data(), file->bytes(*tensor).data(), values.size() * 8);
    return values;
  }
  std::vector<float> floats(const std::string& name) const {
    const StoredTensor* tensor = file->find(name);
    std::vector<float> values(static_cast<size_t>(tensor->count));
    EXPECT_OK(file->read(*tensor, values.data()));
    return values;
  }
};

inline std::vector<std::vector<float>> all_tensors(const Model& model) {
  std::vector<std::vector<float>> values;
  for (const TensorInfo& info : tensors(model)) {
    EXPECT_OK(read_tensor(model, info.name, values.emplace_back(static_cast<size_t>(info.count))));
  }
  return values;
}

}  // namespace mendset::test
