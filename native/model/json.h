// A small strict JSON reader and writer: what checkpoint headers and config files need, and no more.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace mendset {

struct JsonMember;

class Json {
 public:
  enum class Kind { null, boolean, number, string, array, object };

  // The whole of `text` must be one value in valid UTF-8, nested at most 64 deep. Duplicate keys, lone surrogates and trailing
  // text are errors (code corrupt) that name the byte offset.
  static Status parse(std::string_view text, Json* out);

  static Json boolean(bool value);
  static Json integer(int64_t value);
  static Json number(double value);  // shortest decimal that reads back to the same double
  static Json string(std::string value);
  static Json array(std::vector<Json> items);
  static Json object();

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::null; }
  bool is_string() const { return kind_ == Kind::string; }
  bool is_object() const { return kind_ == Kind::object; }
  bool is_array() const { return kind_ == Kind::array; }
  bool is_boolean() const { return kind_ == Kind::boolean; }
  bool is_number() const { return kind_ == Kind::number; }

  bool as_boolean() const { return truth_; }
  const std::string& as_string() const { return text_; }
  double as_number() const;
  // Whether this is an integer literal within int64 range.
  bool as_integer(int64_t* out) const;
  const std::vector<Json>& items() const { return items_; }
  const std::vector<JsonMember>& members() const { return members_; }  // in the order of the text

  const Json* find(std::string_view key) const;
  void set(std::string_view key, Json value);  // replaces in place, or appends

  // indent 0: one line without spaces.
  std::string write(int indent) const;

 private:
  friend class JsonParser;
  void append_to(std::string& out, int indent, int depth) const;

  Kind kind_ = Kind::null;
  bool truth_ = false;
  std::string text_;  // string value, or the number's literal, so that unknown numbers survive a round trip unchanged
  std::vector<Json> items_;
  std::vector<JsonMember> members_;
};

struct JsonMember {
  std::string key;
  Json value;
};

}  // namespace mendset
