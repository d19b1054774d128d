// JavaScript values to C++ and back. A reader returns false after it has thrown; the caller returns at once.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "addon/environment.h"
#include "addon/node.h"
#include "backend/backend.h"
#include "core/status.h"
#include "model/language_model.h"

namespace mendset::addon {

// Arrays that native code borrows; they stay alive (and so do their buffers) until the pins are dropped.
using Pins = std::vector<Napi::ObjectReference>;

// An Error whose `code` is one of mendset's error codes.
Napi::Error make_error(Napi::Env env, const Status& status);
void throw_status(Napi::Env env, const Status& status);
// False, and thrown, when the status is a failure.
bool succeeded(Napi::Env env, const Status& status);

bool read_string(const Napi::Value& value, const char* name, std::string* out);
bool read_number(const Napi::Value& value, const char* name, double* out);
bool read_integer(const Napi::Value& value, const char* name, int64_t low, int64_t high, int64_t* out);
bool read_boolean(const Napi::Value& value, const char* name, bool* out);
bool read_object(const Napi::Value& value, const char* name, Napi::Object* out);
bool read_uint64(const Napi::Value& value, const char* name, uint64_t* out);  // a BigInt

// Typed arrays by element type, byteOffset honoured. count < 0: any length. The array is pinned.
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<float>* out);
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<double>* out);
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<int32_t>* out);
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<uint32_t>* out);
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<uint8_t>* out);

// An output array that may be absent.
template <typename T>
bool read_output(const Napi::Object& object, const char* name, int64_t count, Pins& pins, T** out) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) return true;
  std::span<T> array;
  if (!read_array(value, name, count, pins, &array)) return false;
  *out = array.data();
  return true;
}

// The environment's backend of that name and number of threads.
bool open_backend(const Napi::Value& name, const Napi::Value& threads, std::shared_ptr<Backend>* out);

// A fresh typed array with the same numbers.
template <typename Array, typename Values>
Array copied(Napi::Env env, const Values& values) {
  Array array = Array::New(env, values.size());
  std::transform(values.begin(), values.end(), array.Data(), [](auto value) { return static_cast<typename std::remove_pointer_t<decltype(array.Data())>>(value); });
  return array;
}

// A typed array over the numbers themselves, which live until it is collected; few are copied.
template <typename Array, typename Values>
Array handed_over(Napi::Env env, Values values) {
  static_assert(std::is_same_v<typename Values::value_type, std::remove_pointer_t<decltype(std::declval<Array>().Data())>>);
  constexpr size_t kLarge = size_t{1} << 16;  // bytes
  const size_t bytes = values.size() * sizeof(typename Values::value_type);
  if (bytes < kLarge) return copied<Array>(env, values);
  auto* const owner = new Values(std::move(values));
  const auto buffer = Napi::ArrayBuffer::New(env, owner->data(), bytes, [](Napi::Env, void*, Values* hint) { delete hint; }, owner);
  return Array::New(env, owner->size(), buffer, 0);
}

bool read_batch(const Napi::Value& value, const char* name, Pins& pins, PackedBatch* out);

}  // namespace mendset::addon
