#include "addon/arguments.h"

#include <cmath>

#include "addon/environment.h"

namespace mendset::addon {

Napi::Error make_error(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, code_name(status.code())));
  return error;
}

void throw_status(Napi::Env env, const Status& status) { make_error(env, status).ThrowAsJavaScriptException(); }

bool succeeded(Napi::Env env, const Status& status) {
  if (status.ok()) return true;
  throw_status(env, status);
  return false;
}

namespace {

bool refuse(const Napi::Value& value, const char* name, const char* expected) {
  const char* received = value.IsUndefined()    ? "undefined"
                         : value.IsNull()       ? "null"
                         : value.IsNumber()     ? "a number out of range or of another kind"
                         : value.IsString()     ? "a string"
                         : value.IsTypedArray() ? "a typed array of another kind"
                                                : "another kind of value";
  throw_status(value.Env(), failure(Code::invalid_argument, "Expected %s for %s but received %s.", expected, name, received));
  return false;
}

template <typename T>
bool read_typed(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<T>* out, napi_typedarray_type type, const char* expected) {
  if (!value.IsTypedArray()) return refuse(value, name, expected);
  const auto array = value.As<Napi::TypedArray>();
  if (array.TypedArrayType() != type) return refuse(value, name, expected);
  const auto length = static_cast<int64_t>(array.ElementLength());
  if (count >= 0 && length != count) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected %s of %lld elements for %s but received %lld.", expected,
                                      static_cast<long long>(count), name, static_cast<long long>(length)));
    return false;
  }
  auto* bytes = static_cast<uint8_t*>(array.ArrayBuffer().Data());
  *out = length == 0 ? std::span<T>() : std::span<T>(reinterpret_cast<T*>(bytes + array.ByteOffset()), static_cast<size_t>(length));
  pins.push_back(Napi::Persistent(value.As<Napi::Object>()));
  return true;
}

}  // namespace

bool read_string(const Napi::Value& value, const char* name, std::string* out) {
  if (!value.IsString()) return refuse(value, name, "a string");
  *out = value.As<Napi::String>().Utf8Value();
  return true;
}

bool read_number(const Napi::Value& value, const char* name, double* out) {
  if (!value.IsNumber()) return refuse(value, name, "a number");
  *out = value.As<Napi::Number>().DoubleValue();
  return true;
}

bool read_integer(const Napi::Value& value, const char* name, int64_t low, int64_t high, int64_t* out) {
  if (!value.IsNumber()) return refuse(value, name, "an integer");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= static_cast<double>(low) && number <= static_cast<double>(high)) || std::floor(number) != number) {
    throw_status(value.Env(), failure(Code::invalid_argument, "Expected an integer from %lld to %lld for %s but received %g.",
                                      static_cast<long long>(low), static_cast<long long>(high), name, number));
    return false;
  }
  *out = static_cast<int64_t>(number);
  return true;
}

bool read_boolean(const Napi::Value& value, const char* name, bool* out) {
  if (!value.IsBoolean()) return refuse(value, name, "a boolean");
  *out = value.As<Napi::Boolean>().Value();
  return true;
}

bool read_object(const Napi::Value& value, const char* name, Napi::Object* out) {
  if (!value.IsObject()) return refuse(value, name, "an object");
  *out = value.As<Napi::Object>();
  return true;
}

bool read_uint64(const Napi::Value& value, const char* name, uint64_t* out) {
  bool lossless = false;
  if (!value.IsBigInt()) return refuse(value, name, "a BigInt");
  *out = value.As<Napi::BigInt>().Uint64Value(&lossless);
  return true;
}

bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<float>* out) {
  return read_typed(value, name, count, pins, out, napi_float32_array, "a Float32Array");
}
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<double>* out) {
  return read_typed(value, name, count, pins, out, napi_float64_array, "a Float64Array");
}
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<int32_t>* out) {
  return read_typed(value, name, count, pins, out, napi_int32_array, "an Int32Array");
}
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<uint32_t>* out) {
  return read_typed(value, name, count, pins, out, napi_uint32_array, "a Uint32Array");
}
bool read_array(const Napi::Value& value, const char* name, int64_t count, Pins& pins, std::span<uint8_t>* out) {
  return read_typed(value, name, count, pins, out, napi_uint8_array, "a Uint8Array");
}

bool open_backend(const Napi::Value& name_value, const Napi::Value& threads_value, std::shared_ptr<Backend>* out) {
  std::string name;
  int64_t threads = 0;
  Napi::Env env = name_value.Env();
  return read_string(name_value, "backend", &name) && read_integer(threads_value, "threads", 0, 1024, &threads) &&
         succeeded(env, Environment::of(env).backend(name, static_cast<int>(threads), out));
}

bool read_batch(const Napi::Value& value, const char* name, Pins& pins, PackedBatch* out) {
  if (!value.IsObject()) return refuse(value, name, "a packed batch { ids, offsets, mask?, positions? }");
  const auto object = value.As<Napi::Object>();
  std::span<int32_t> ids, offsets, positions;
  std::span<uint8_t> mask;
  if (!read_array(object.Get("ids"), "batch.ids", -1, pins, &ids)) return false;
  if (!read_array(object.Get("offsets"), "batch.offsets", -1, pins, &offsets)) return false;
  const auto tokens = static_cast<int64_t>(ids.size());
  const Napi::Value mask_value = object.Get("mask");
  if (!mask_value.IsUndefined() && !read_array(mask_value, "batch.mask", tokens, pins, &mask)) return false;
  const Napi::Value positions_value = object.Get("positions");
  if (!positions_value.IsUndefined() && !read_array(positions_value, "batch.positions", tokens, pins, &positions)) return false;
  *out = PackedBatch{ids, offsets, mask, positions};
  return true;
}

}  // namespace mendset::addon
