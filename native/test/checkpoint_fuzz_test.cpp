// Hostile checkpoints: thousands of deterministic mutations of headers, indexes and configs. Each gives a clear error or a sound
// file; nothing crashes, hangs or reads outside a file (run under the asan preset).
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "core/random.h"
#include "golden_model.h"
#include "model/json.h"

using namespace mendset;
using namespace mendset::test;
namespace fs = std::filesystem;

namespace {

const std::string source = "decoders/gpt2-odd-heads";

struct Folder {
  std::string path = "/tmp/mendset-fuzz-test-XXXXXX";
  Folder() { CHECK(::mkdtemp(path.data()) != nullptr); }
  ~Folder() { fs::remove_all(path); }
};

void write(const std::string& path, std::string_view bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  CHECK(file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  std::fclose(file);
}

std::string read(const std::string& path) {
  std::string text;
  EXPECT_OK(read_text_file(path, &text));
  return text;
}

std::string with_header(const std::string& header, std::string_view data) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data);
}

struct Tally {
  int sound = 0, refused = 0;
};

// A file is either refused in a sentence that names it, or all its tensors lie inside it and can be read.
void probe(const std::string& path, const std::string& bytes, Tally& tally) {
  write(path, bytes);
  std::shared_ptr<SafetensorsFile> file;
  const Status status = SafetensorsFile::open(path, &file);
  if (!status.ok()) {
    ++tally.refused;
    CHECK(file == nullptr && status.code() != Code::internal && status.message().find(path) != std::string::npos);
    return;
  }
  ++tally.sound;
  size_t total = 0;
  for (const StoredTensor& tensor : file->tensors()) {
    const std::string_view view = file->bytes(tensor);
    total += view.size();
    CHECK(view.size() == tensor.end - tensor.begin);
    CHECK(view.size() == static_cast<size_t>(tensor.count) * element_bytes(tensor.dtype));
    std::vector<float> values(static_cast<size_t>(tensor.count));
    if (tensor.dtype == "F32" || tensor.dtype == "F16" || tensor.dtype == "BF16") EXPECT_OK(file->read(tensor, values.data()));
  }
  CHECK(total + 8 <= bytes.size());
}

const char* const kLies[] = {"-1",
                             "0",
                             "1",
                             "3",
                             "24",
                             "25",
                             "9007199254740991",
                             "9007199254740992",
                             "18446744073709551615",
                             "1e3",
                             "1e308",
                             "0.5",
                             "NaN",
                             "null",
                             "true",
                             "\"8\"",
                             "[]",
                             "{}",
                             "-0",
                             "1e-3",
                             "inf",
                             "00012",
                             "[0,8]",
                             "",
                             "99999999999999999999999999999"};
const char* const kTypes[] = {"F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "", "f32", "F32\\u0000"};

size_t pick(RandomStream& random, size_t below) { return static_cast<size_t>(random.below(static_cast<uint32_t>(below))); }

// Replaces one number of the text by a lie.
std::string lie(std::string text, RandomStream& random) {
  std::vector<std::pair<size_t, size_t>> numbers;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] < '0' || text[i] > '9') continue;
    size_t end = i;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    numbers.emplace_back(i, end - i);
    i = end;
  }
  if (numbers.empty()) return text;
  const auto [at, length] = numbers[pick(random, numbers.size())];
  return text.replace(at, length, kLies[pick(random, std::size(kLies))]);
}

void test_headers() {
  Folder folder;
  const std::string path = folder.path + "/model.safetensors";
  const std::string header =
      "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
      "\"b\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[24,32]},\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":["
      "32,40]}}";
  std::string data(40, '\0');
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i % 3 == 0 ? 0xFF : i);  // NaN among them
  const std::string good = with_header(header, data);
  Tally tally;
  probe(path, good, tally);
  CHECK(tally.sound == 1);
  for (size_t length = 0; length < good.size(); ++length) probe(path, good.substr(0, length), tally);  // truncated anywhere
  CHECK(tally.sound == 1);
  for (size_t extra = 1; extra < 20; ++extra) probe(path, good + std::string(extra, '\0'), tally);  // oversized
  CHECK(tally.sound == 1);
  for (int bit = 0; bit < 64; ++bit) {  // lying header lengths
    std::string bytes = good;
    uint64_t length = header.size() ^ (uint64_t{1} << bit);
    std::memcpy(bytes.data(), &length, 8);
    probe(path, bytes, tally);
  }
  CHECK(tally.sound == 1);
  RandomStream random(1, 1);
  for (int i = 0; i < 3000; ++i) {  // lying numbers, up to three at once
    std::string text = header;
    for (uint32_t n = 0, count = 1 + static_cast<uint32_t>(random.below(3)); n < count; ++n) text = lie(text, random);
    probe(path, with_header(text, data), tally);
  }
  for (int i = 0; i < 300; ++i) {  // element types
    std::string text = header;
    const size_t at = text.find("\"F32\"");
    probe(path, with_header(text.replace(at + 1, 3, kTypes[pick(random, std::size(kTypes))]), data), tally);
  }
  for (int i = 0; i < 4000; ++i) {  // bytes of header and length changed, dropped, doubled
    std::string bytes = good;
    for (uint32_t n = 0, count = 1 + static_cast<uint32_t>(random.below(4)); n < count; ++n) {
      const size_t at = pick(random, std::min(bytes.size(), header.size() + 8));
      switch (random.below(4)) {
        case 0:
          bytes[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
          break;
        case 2:
          bytes.erase(at, 1 + pick(random, 5));
          break;
        default:
          bytes.insert(at, bytes.substr(at, 1 + pick(random, 30)));
      }
      if (bytes.empty()) bytes.push_back('x');
    }
    probe(path, bytes, tally);
  }
  // Overlaps, holes, cycles of offsets, deep nesting, huge claims.
  for (const char* entries : {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":["
                              "8],\"data_offsets\":[4,12]}}",
                              "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":["
                              "8],\"data_offsets\":[0,8]}}",
                              "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[8,0]}}",
                              "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}",
                              "{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}",
                              "{\"a\":{\"dtype\":\"U8\",\"shape\":[40],\"data_offsets\":[0,40]},\"a\":{\"dtype\":\"U8\","
                              "\"shape\":[0],\"data_offsets\":[40,40]}}",
                              "{\"a\":{\"dtype\":\"U8\",\"shape\":[39],\"data_offsets\":[1,40]}}"}) {
    const int before = tally.refused;
    probe(path, with_header(entries, data), tally);
    CHECK(tally.refused == before + 1);
  }
  for (const char bracket : {'[', '{'}) {
    const int before = tally.refused;
    probe(path, with_header("{\"a\":" + std::string(200000, bracket), data), tally);
    CHECK(tally.refused == before + 1);
  }
  std::printf("headers: %d sound, %d refused\n", tally.sound, tally.refused);
}

Status load_folder(const std::shared_ptr<Backend>& backend, const std::string& path) {
  std::shared_ptr<Model> model;
  std::unique_ptr<Task> task;
  MS_TRY(load_model_task(backend, path, false, &model, &task));
  MS_TRY(run(task));
  const std::vector<int32_t> ids{1, 2, 3}, offsets{0, 3};
  std::vector<double> log_prob(3);
  ScoreOutputs outputs;
  outputs.log_prob = log_prob.data();
  MS_TRY(score_task(model, {ids, offsets, {}, {}}, outputs, &task));
  return run(task);
}

void test_configs(const std::shared_ptr<Backend>& backend) {
  RandomStream random(2, 1);
  Tally tally;
  for (const char* name : {"decoders/gpt2-odd-heads", "decoders/gpt-neo-local-first", "decoders/llama-yarn",
                           "decoders/qwen2-sliding", "decoders/gpt-neox-linear"}) {
    Folder folder;
    fs::copy(golden_folder(name), folder.path, fs::copy_options::recursive);
    const std::string text = read(golden_folder(name) + "/config.json");
    EXPECT_OK(load_folder(backend, folder.path));
    for (int i = 0; i < 400; ++i) {
      std::string changed = lie(text, random);
      if (random.below(4) == 0) changed.erase(pick(random, changed.size()), 1 + pick(random, 40));
      if (random.below(4) == 0) changed = lie(changed, random);
      write(folder.path + "/config.json", changed);
      const Status status = load_folder(backend, folder.path);
      status.ok() ? ++tally.sound : ++tally.refused;
      CHECK(status.ok() || (status.code() != Code::internal && !status.message().empty()));
    }
  }
  std::printf("configs: %d loaded, %d refused\n", tally.sound, tally.refused);
}

void expect_refused(const std::shared_ptr<Backend>& backend, const std::string& path, const char* word) {
  const Status status = load_folder(backend, path);
  CHECK(!status.ok());
  CHECK(status.message().find(word) != std::string::npos);
  if (status.message().find(word) == std::string::npos) std::printf("expected \"%s\" in: %s\n", word, status.message().c_str());
}

void test_indexes(const std::shared_ptr<Backend>& backend) {
  Folder folder;
  const std::string weights = folder.path + "/model.safetensors", index = weights + ".index.json";
  write(folder.path + "/config.json", read(golden_folder(source) + "/config.json"));
  const std::string outside = golden_folder(source) + "/model.safetensors";
  std::shared_ptr<SafetensorsFile> file;
  if (!EXPECT_OK(SafetensorsFile::open(outside, &file))) return;
  const auto map_to = [&](const std::string& shard) {
    Json map = Json::object(), json = Json::object();
    for (const StoredTensor& tensor : file->tensors()) map.set(tensor.name, Json::string(shard));
    json.set("weight_map", map);
    write(index, json.write(2));
  };
  const std::string name = outside.substr(1);
  for (const std::string& shard :
       {std::string("../model.safetensors"), std::string("/").append(name), std::string("..%2fmodel.safetensors"),
        std::string("."), std::string(".."), std::string(""), std::string("a\\b"), std::string("sub/model.safetensors")}) {
    map_to(shard);
    expect_refused(backend, folder.path, "plain file name");
  }
  map_to(std::string("shard\0.safetensors", 18));
  expect_refused(backend, folder.path, "plain file name");
  map_to("model.safetensors.index.json");  // an index that names itself
  expect_refused(backend, folder.path, "model.safetensors.index.json");
  map_to("absent.safetensors");
  expect_refused(backend, folder.path, "absent.safetensors");
  map_to(std::string(5000, 'x'));
  CHECK(!load_folder(backend, folder.path).ok());
  const std::string shard = folder.path + "/shard.safetensors";
  map_to("shard.safetensors");
  CHECK(::symlink("shard.safetensors", shard.c_str()) == 0);  // a link to itself
  expect_refused(backend, folder.path, "shard.safetensors");
  fs::remove(shard);
  CHECK(::symlink(folder.path.c_str(), shard.c_str()) == 0);  // to a folder
  expect_refused(backend, folder.path, "shard.safetensors");
  fs::remove(shard);
  CHECK(::symlink("/dev/zero", shard.c_str()) == 0);  // to a device
  expect_refused(backend, folder.path, "regular file");
  fs::remove(shard);
  CHECK(::mkfifo(shard.c_str(), 0600) == 0);  // a pipe that nobody writes to
  expect_refused(backend, folder.path, "regular file");
  fs::remove(shard);
  CHECK(::symlink(outside.c_str(), shard.c_str()) == 0);  // the Hub's cache links its files elsewhere: allowed
  EXPECT_OK(load_folder(backend, folder.path));
  RandomStream random(3, 1);
  const std::string good = read(index);
  for (int i = 0; i < 500; ++i) {
    std::string text = good;
    for (uint32_t n = 0, count = 1 + static_cast<uint32_t>(random.below(3)); n < count; ++n) {
      const size_t at = pick(random, text.size());
      random.below(2) == 0 ? void(text[at] = static_cast<char>(random.below(256))) : void(text.erase(at, 1 + pick(random, 20)));
    }
    write(index, text);
    const Status status = load_folder(backend, folder.path);
    CHECK(status.ok() || (status.code() != Code::internal && !status.message().empty()));
  }
}

void test_weights(const std::shared_ptr<Backend>& backend) {
  for (const char* name : {"decoders/gpt2-odd-heads", "decoders/gpt2-bf16", "decoders/gpt-neo-f16"}) {
    Folder folder;
    fs::copy(golden_folder(name), folder.path, fs::copy_options::recursive);
    const std::string path = folder.path + "/model.safetensors", good = read(path);
    std::shared_ptr<SafetensorsFile> file;
    if (!EXPECT_OK(SafetensorsFile::open(path, &file))) return;
    const size_t begin = good.size() - (file->tensors().back().end), end = good.size();
    for (const size_t at : {begin, (begin + end) / 2 / 4 * 4, end - 4}) {  // NaN in any element type
      std::string bytes = good;
      bytes.replace(at, 4, "\xFF\x7F\xFF\x7F");
      write(path, bytes);
      expect_refused(backend, folder.path, "not finite");
    }
    RandomStream random(4, 1);
    for (int i = 0; i < 100; ++i) {
      write(path, good.substr(0, pick(random, good.size())));
      CHECK(!load_folder(backend, folder.path).ok());
    }
  }
}

}  // namespace

int main() {
  test_headers();
  std::shared_ptr<Backend> backend;
  if (EXPECT_OK(Backend::open("cpu", 1, &backend))) {
    test_configs(backend);
    test_indexes(backend);
    test_weights(backend);
  }
  return finish();
}
