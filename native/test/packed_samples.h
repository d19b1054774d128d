// Packed samples of uneven length for contract tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace mendset::test {

inline std::string sized(const char* name, std::initializer_list<int64_t> sizes) {
  std::string text = name;
  for (const int64_t size : sizes) text.append(1, ' ').append(std::to_string(size));
  return text;
}

inline std::vector<int32_t> offsets_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> offsets{0};
  for (const int32_t length : lengths) offsets.push_back(offsets.back() + length);
  return offsets;
}

inline std::vector<int32_t> positions_of(const std::vector<int32_t>& lengths) {
  std::vector<int32_t> positions;
  for (const int32_t length : lengths) {
    for (int32_t t = 0; t < length; ++t) positions.push_back(t);
  }
  return positions;
}

inline const std::vector<int32_t> kLengths{1, 33, 0, 7, 150, 64, 2};

}  // namespace mendset::test
