#include "model/json.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <locale>
#include <sstream>

namespace mendset {

namespace {

constexpr int kMaxDepth = 64;

// Length of the well-formed UTF-8 sequence at text[i], 0 when ill-formed (overlong forms and surrogates included).
size_t utf8_length(std::string_view text, size_t i) {
  auto byte = [&](size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  auto continues = [&](size_t k) { return (byte(k) & 0xC0u) == 0x80u; };
  const unsigned a = byte(i), b = byte(i + 1);
  if (a < 0x80) return 1;
  if (a >= 0xC2 && a <= 0xDF) return continues(i + 1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    if (!continues(i + 1) || !continues(i + 2)) return 0;
    if ((a == 0xE0 && b < 0xA0) || (a == 0xED && b > 0x9F)) return 0;
    return 3;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    if (!continues(i + 1) || !continues(i + 2) || !continues(i + 3)) return 0;
    if ((a == 0xF0 && b < 0x90) || (a == 0xF4 && b > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

void append_utf8(std::string& out, uint32_t code) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(static_cast<unsigned char>(byte))); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | (code >> 6));
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | (code >> 12));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | (code >> 18));
    put(0x80 | ((code >> 12) & 0x3F));
    put(0x80 | ((code >> 6) & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

void append_quoted(std::string& out, const std::string& text) {
  out.push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
          out += escape;
        } else {
          out.push_back(c);
        }
    }
  }
  out.push_back('"');
}

}  // namespace

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Status parse(Json* out) {
    for (size_t i = 0; i < text_.size();) {
      const size_t length = utf8_length(text_, i);
      if (length == 0) return failure(Code::corrupt, "JSON is not valid UTF-8 at byte %zu.", i);
      i += length;
    }
    skip_space();
    MS_TRY(value(out, 0));
    skip_space();
    if (at_ != text_.size()) return error("nothing after the value");
    return {};
  }

 private:
  Status error(const char* expected) const {
    return failure(Code::corrupt, "JSON is malformed at byte %zu: expected %s.", at_, expected);
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) ++at_;
  }
  bool literal(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  Status value(Json* out, int depth) {
    if (depth > kMaxDepth) return failure(Code::corrupt, "JSON is nested deeper than %d levels at byte %zu.", kMaxDepth, at_);
    switch (peek()) {
      case '{':
        return object(out, depth);
      case '[':
        return array(out, depth);
      case '"':
        out->kind_ = Json::Kind::string;
        return string(&out->text_);
      case 't':
      case 'f':
        out->kind_ = Json::Kind::boolean;
        out->truth_ = peek() == 't';
        if (!literal(out->truth_ ? "true" : "false")) return error("true or false");
        return {};
      case 'n':
        out->kind_ = Json::Kind::null;
        if (!literal("null")) return error("null");
        return {};
      default:
        return number(out);
    }
  }

  Status object(Json* out, int depth) {
    out->kind_ = Json::Kind::object;
    ++at_;
    skip_space();
    if (peek() == '}') return ++at_, Status();
    while (true) {
      if (peek() != '"') return error("a key in quotes");
      JsonMember& member = out->members_.emplace_back();
      MS_TRY(string(&member.key));
      skip_space();
      if (peek() != ':') return error("':'");
      ++at_;
      skip_space();
      MS_TRY(value(&member.value, depth + 1));
      skip_space();
      if (peek() == '}') break;
      if (peek() != ',') return error("',' or '}'");
      ++at_;
      skip_space();
    }
    ++at_;
    std::vector<const std::string*> keys;
    keys.reserve(out->members_.size());
    for (const JsonMember& member : out->members_) keys.push_back(&member.key);
    std::sort(keys.begin(), keys.end(), [](const std::string* a, const std::string* b) { return *a < *b; });
    for (size_t i = 1; i < keys.size(); ++i) {
      if (*keys[i] == *keys[i - 1]) return failure(Code::corrupt, "JSON object has the key \"%.200s\" twice.", keys[i]->c_str());
    }
    return {};
  }

  Status array(Json* out, int depth) {
    out->kind_ = Json::Kind::array;
    ++at_;
    skip_space();
    if (peek() == ']') return ++at_, Status();
    while (true) {
      MS_TRY(value(&out->items_.emplace_back(), depth + 1));
      skip_space();
      if (peek() == ']') return ++at_, Status();
      if (peek() != ',') return error("',' or ']'");
      ++at_;
      skip_space();
    }
  }

  Status hex4(uint32_t* out) {
    *out = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = peek();
      uint32_t digit;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<uint32_t>(c - 'a') + 10;
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<uint32_t>(c - 'A') + 10;
      else
        return error("four hexadecimal digits");
      *out = *out * 16 + digit;
    }
    return {};
  }

  Status string(std::string* out) {
    ++at_;
    while (true) {
      if (at_ >= text_.size()) return error("a closing quote");
      const char c = text_[at_];
      if (c == '"') return ++at_, Status();
      if (static_cast<unsigned char>(c) < 0x20) return error("no control character inside a string");
      if (c != '\\') {
        out->push_back(c);
        ++at_;
        continue;
      }
      ++at_;
      const char escape = peek();
      ++at_;
      switch (escape) {
        case '"':
          out->push_back('"');
          break;
        case '\\':
          out->push_back('\\');
          break;
        case '/':
          out->push_back('/');
          break;
        case 'b':
          out->push_back('\b');
          break;
        case 'f':
          out->push_back('\f');
          break;
        case 'n':
          out->push_back('\n');
          break;
        case 'r':
          out->push_back('\r');
          break;
        case 't':
          out->push_back('\t');
          break;
        case 'u': {
          uint32_t code;
          MS_TRY(hex4(&code));
          if (code >= 0xD800 && code <= 0xDBFF) {
            uint32_t low = 0;
            if (!literal("\\u")) return error("the second half of a surrogate pair");
            MS_TRY(hex4(&low));
            if (low < 0xDC00 || low > 0xDFFF) return error("the second half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
          } else if (code >= 0xDC00 && code <= 0xDFFF) {
            return error("no lone surrogate");
          }
          append_utf8(*out, code);
          break;
        }
        default:
          --at_;
          return error("a known escape");
      }
    }
  }

  Status number(Json* out) {
    const size_t begin = at_;
    auto digits = [&] {
      const size_t first = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      return at_ - first;
    };
    if (peek() == '-') ++at_;
    const bool zero = peek() == '0';
    const size_t whole = digits();
    if (whole == 0) return error("a value");
    if (zero && whole > 1) return error("no leading zero");
    if (peek() == '.') {
      ++at_;
      if (digits() == 0) return error("digits after the point");
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (digits() == 0) return error("digits in the exponent");
    }
    out->kind_ = Json::Kind::number;
    out->text_.assign(text_.substr(begin, at_ - begin));
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
};

Status Json::parse(std::string_view text, Json* out) {
  *out = Json();
  return JsonParser(text).parse(out);
}

Json Json::boolean(bool value) {
  Json json;
  json.kind_ = Kind::boolean;
  json.truth_ = value;
  return json;
}

Json Json::integer(int64_t value) {
  Json json;
  json.kind_ = Kind::number;
  json.text_ = std::to_string(value);
  return json;
}

Json Json::number(double value) {
  Json json;
  json.kind_ = Kind::number;
  for (int digits = 1; digits <= 17; ++digits) {
    std::ostringstream stream;
    stream.imbue(std::locale::classic());
    stream.precision(digits);
    stream << value;
    json.text_ = stream.str();
    if (json.as_number() == value) break;
  }
  return json;
}

Json Json::string(std::string value) {
  Json json;
  json.kind_ = Kind::string;
  json.text_ = std::move(value);
  return json;
}

Json Json::array(std::vector<Json> items) {
  Json json;
  json.kind_ = Kind::array;
  json.items_ = std::move(items);
  return json;
}

Json Json::object() {
  Json json;
  json.kind_ = Kind::object;
  return json;
}

double Json::as_number() const {
  std::istringstream stream(text_);
  stream.imbue(std::locale::classic());  // the process locale may use a decimal comma
  double value = 0;
  stream >> value;
  return value;
}

bool Json::as_integer(int64_t* out) const {
  if (kind_ != Kind::number) return false;
  const char* end = text_.data() + text_.size();
  const std::from_chars_result result = std::from_chars(text_.data(), end, *out);
  return result.ec == std::errc() && result.ptr == end;
}

const Json* Json::find(std::string_view key) const {
  for (const JsonMember& member : members_) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

void Json::set(std::string_view key, Json value) {
  for (JsonMember& member : members_) {
    if (member.key == key) {
      member.value = std::move(value);
      return;
    }
  }
  members_.push_back({std::string(key), std::move(value)});
}

void Json::append_to(std::string& out, int indent, int depth) const {
  auto line = [&](int level) {
    if (indent == 0) return;
    out.push_back('\n');
    out.append(static_cast<size_t>(indent * level), ' ');
  };
  switch (kind_) {
    case Kind::null:
      out += "null";
      return;
    case Kind::boolean:
      out += truth_ ? "true" : "false";
      return;
    case Kind::number:
      out += text_;
      return;
    case Kind::string:
      append_quoted(out, text_);
      return;
    case Kind::array:
      out.push_back('[');
      for (size_t i = 0; i < items_.size(); ++i) {
        if (i > 0) out.push_back(',');
        line(depth + 1);
        items_[i].append_to(out, indent, depth + 1);
      }
      if (!items_.empty()) line(depth);
      out.push_back(']');
      return;
    case Kind::object:
      out.push_back('{');
      for (size_t i = 0; i < members_.size(); ++i) {
        if (i > 0) out.push_back(',');
        line(depth + 1);
        append_quoted(out, members_[i].key);
        out += indent == 0 ? ":" : ": ";
        members_[i].value.append_to(out, indent, depth + 1);
      }
      if (!members_.empty()) line(depth);
      out.push_back('}');
      return;
  }
}

std::string Json::write(int indent) const {
  std::string out;
  append_to(out, indent, 0);
  return out;
}

}  // namespace mendset
