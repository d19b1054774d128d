// Files that lie: every corrupt safetensors header gives one clear Status and nothing else happens.
#include "model/safetensors.h"

#include <cstdlib>
#include <cstring>
#include <limits>

#include "check.h"
#include "model/json.h"

using namespace mendset;
using mendset::test::near;

namespace {

std::string folder = "/tmp/mendset-safetensors-test-XXXXXX";

std::string with_header(const std::string& header, size_t data_bytes, uint64_t length) {
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + std::string(data_bytes, '\1');
}

std::string with_header(const std::string& header, size_t data_bytes) { return with_header(header, data_bytes, header.size()); }

Status open(const std::string& bytes, std::shared_ptr<SafetensorsFile>* file) {
  const std::string path = folder + "/file.safetensors";
  MS_TRY(write_text_file(path, bytes));
  return SafetensorsFile::open(path, file);
}

void refused(const std::string& bytes, Code code, const char* word) {
  std::shared_ptr<SafetensorsFile> file;
  const Status status = open(bytes, &file);
  CHECK(status.code() == code);
  CHECK(file == nullptr);
  CHECK(status.message().find(word) != std::string::npos);
  if (status.message().find(word) == std::string::npos) std::printf("expected \"%s\" in: %s\n", word, status.message().c_str());
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return std::string("\"").append(name) + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}";
}

void test_corrupt_headers() {
  const std::string good = std::string("{") + entry("a", "F32", "[2,3]", "[0,24]") + "}";
  std::shared_ptr<SafetensorsFile> file;
  CHECK(open(with_header(good, 24), &file).ok());
  CHECK(file != nullptr && file->tensors().size() == 1 && file->find("a")->count == 6 && file->find("b") == nullptr);

  refused("", Code::corrupt, "empty");
  refused("1234567", Code::corrupt, "at least 8");
  refused(with_header(good, 24, 100000001), Code::corrupt, "header");
  refused(with_header(good, 24, std::numeric_limits<uint64_t>::max()), Code::corrupt, "header");
  refused(with_header(good, 0, good.size() + 1), Code::corrupt, "truncated");
  refused(with_header("", 8), Code::corrupt, "'{'");
  refused(with_header(std::string(1, ' ').append(good), 24), Code::corrupt, "'{'");
  refused(with_header("{\"a\":", 24), Code::corrupt, "header");
  refused(with_header("{\"\xFF\":1}", 24), Code::corrupt, "UTF-8");
  refused(with_header("{\"\xC0\x80\":1}", 24), Code::corrupt, "UTF-8");
  refused(with_header("{\"\xED\xA0\x80\":1}", 24), Code::corrupt, "UTF-8");
  refused(with_header(good + "x", 24), Code::corrupt, "after");
  refused(with_header(std::string(100, '[') + "{", 24), Code::corrupt, "'{'");
  refused(with_header("{\"a\":" + std::string(100, '['), 24), Code::corrupt, "deep");
  refused(with_header(std::string("{") + entry("a", "F32", "[6]", "[0,24]") + "," + entry("a", "F32", "[6]", "[0,24]") + "}", 24),
          Code::corrupt, "twice");
  refused(with_header("{\"__metadata__\":{\"k\":1}," + entry("a", "F32", "[6]", "[0,24]") + "}", 24), Code::corrupt,
          "__metadata__");
  refused(with_header("{\"__metadata__\":[]," + entry("a", "F32", "[6]", "[0,24]") + "}", 24), Code::corrupt, "__metadata__");
  refused(with_header("{\"a\":[]}", 24), Code::corrupt, "not an object");
  refused(with_header("{\"a\":{\"shape\":[6],\"data_offsets\":[0,24]}}", 24), Code::corrupt, "dtype");
  refused(with_header(std::string("{") + entry("a", "F8_E4M3", "[24]", "[0,24]") + "}", 24), Code::unsupported, "F8_E4M3");
  refused(with_header(std::string("{") + entry("a", "F4", "[48]", "[0,24]") + "}", 24), Code::unsupported, "F4");
  for (const char* shape : {"6", "[-6]", "[6.0]", "[\"6\"]", "[9007199254740992]", "[99999999999999999999]"}) {
    refused(with_header(std::string("{") + entry("a", "F32", shape, "[0,24]") + "}", 24), Code::corrupt, "shape");
  }
  refused(with_header(std::string("{") + entry("a", "F32", "[4294967296,4294967296]", "[0,24]") + "}", 24), Code::corrupt,
          "overflows");
  for (const char* offsets : {"[0]", "[0,24,48]", "[24,0]", "{}", "[-1,24]"}) {
    refused(with_header(std::string("{") + entry("a", "F32", "[6]", offsets) + "}", 24), Code::corrupt, "data_offsets");
  }
  refused(with_header(std::string("{") + entry("a", "F32", "[7]", "[0,24]") + "}", 24), Code::corrupt, "7 elements");
  refused(with_header(std::string("{") + entry("a", "F16", "[6]", "[0,24]") + "}", 24), Code::corrupt, "6 elements");
  refused(with_header(good, 23), Code::corrupt, "end at byte 24");
  refused(with_header(good, 25), Code::corrupt, "end at byte 24");
  refused(
      with_header(std::string("{") + entry("a", "F32", "[6]", "[0,24]") + "," + entry("b", "F32", "[6]", "[20,44]") + "}", 44),
      Code::corrupt, "overlaps");
  refused(
      with_header(std::string("{") + entry("a", "F32", "[6]", "[0,24]") + "," + entry("b", "F32", "[6]", "[28,52]") + "}", 52),
      Code::corrupt, "hole");
  refused(with_header(std::string("{") + entry("a", "F32", "[6]", "[4,28]") + "}", 28), Code::corrupt, "hole");
  // Scalars, empty tensors and an unaligned data section are fine.
  CHECK(
      open(with_header(std::string("{") + entry("a", "F32", "[]", "[0,4]") + "," + entry("e", "F32", "[0,5]", "[4,4]") + "} ", 4),
           &file)
          .ok());
}

void test_elements() {
  std::string data(12, '\0');
  const uint16_t halves[6] = {0x3C00, 0xC000, 0x0001, 0x7C00, 0x0000, 0x3555};
  std::memcpy(data.data(), halves, 12);
  std::string bytes = with_header(std::string("{") + entry("h", "F16", "[6]", "[0,12]") + "}", 0) + data;
  std::shared_ptr<SafetensorsFile> file;
  CHECK(open(bytes, &file).ok());
  float out[6];
  CHECK(file->read(*file->find("h"), out).ok());
  CHECK(out[0] == 1 && out[1] == -2 && out[2] == 0x1p-24f && std::isinf(out[3]) && out[4] == 0 &&
        near(static_cast<double>(out[5]), 0.333251953125, 0));
  // Ties to even, NaN, infinity.
  CHECK(bfloat16_from_float(1.0f) == 0x3F80);
  CHECK(bfloat16_from_float(1.00390625f) == 0x3F80);
  CHECK(bfloat16_from_float(1.01171875f) == 0x3F82);
  CHECK(std::isinf(float_from_bfloat16(bfloat16_from_float(std::numeric_limits<float>::infinity()))));
  CHECK(std::isnan(float_from_bfloat16(bfloat16_from_float(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(open(with_header(std::string("{") + entry("i", "I64", "[1]", "[0,8]") + "}", 8), &file).ok());
  CHECK(file->read(*file->find("i"), out).code() == Code::unsupported);
}

void test_index() {
  const std::string shard = with_header(std::string("{") + entry("a", "F32", "[1]", "[0,4]") + "}", 4);
  const std::string index = folder + "/model.safetensors.index.json";
  CHECK(write_text_file(folder + "/one.safetensors", shard).ok());
  CHECK(write_text_file(folder + "/two.safetensors", shard).ok());
  const auto opens = [&](const std::string& map) {
    CHECK(write_text_file(index, "{\"weight_map\":" + map + "}").ok());
    CheckpointFiles files;
    return CheckpointFiles::open(folder, &files).code();
  };
  CHECK(opens("{\"a\":\"one.safetensors\"}") == Code::ok);
  CHECK(opens("{\"b\":\"one.safetensors\"}") == Code::corrupt);
  CHECK(opens("{\"a\":\"../one.safetensors\"}") == Code::corrupt);
  CHECK(opens("{\"a\":\"%2e\"}") == Code::corrupt);
  CHECK(opens("{\"a\":\"none.safetensors\"}") == Code::not_found);
  CHECK(opens("{\"a\":1}") == Code::corrupt);
  CHECK(opens("[]") == Code::corrupt);
  CHECK(opens("{}") == Code::ok);
  CHECK(remove_file(index).ok());
  CheckpointFiles files;
  CHECK(CheckpointFiles::open(folder, &files).code() == Code::not_found);
}

void test_json() {
  Json json;
  for (const char* bad : {"", "{", "[1,]", "{\"a\":1,}", "01", "1.", "1e", "+1", ".5", "nul", "\"\\x\"", "\"\\ud800\"",
                          "\"\\udc00\"", "\"a", "1 2", "'a'"}) {
    CHECK(!Json::parse(bad, &json).ok());
  }
  CHECK(Json::parse("{\"a\":[1,-2.5e3,true,null,\"\\ud83d\\ude00\\n\"],\"b\":{}}", &json).ok());
  CHECK(json.write(0) == "{\"a\":[1,-2.5e3,true,null,\"\xF0\x9F\x98\x80\\n\"],\"b\":{}}");
  CHECK(json.find("a")->items()[1].as_number() == -2500);
  int64_t integer = 0;
  CHECK(json.find("a")->items()[0].as_integer(&integer) && integer == 1 && !json.find("a")->items()[1].as_integer(&integer));
  CHECK(Json::number(0.1).write(0) == "0.1" && Json::number(1e-5).as_number() == 1e-5);
}

void test_dropped_writer() {
  SafetensorsWriter writer;
  const std::string path = folder + "/dropped.safetensors";
  CHECK(SafetensorsWriter::create(path, {{"a", "F32", {2}}}, {}, &writer).ok());
  CHECK(!writer.finish().ok());
  CHECK(!file_exists(path));
}

}  // namespace

int main() {
  CHECK(::mkdtemp(folder.data()) != nullptr);
  test_corrupt_headers();
  test_elements();
  test_index();
  test_json();
  test_dropped_writer();
  const std::string clean = "rm -r '" + folder + "'";
  CHECK(std::system(clean.c_str()) == 0);
  return test::finish();
}
