#include "model/token_results.h"

#include <algorithm>

namespace mendset {

void TokenResults::clear(int64_t tokens) const {
  each_wanted(*this, [&](auto* output, const auto&, auto, auto value) { std::fill_n(output, tokens, value); });
}

void TokenResults::take(Builder& builder, int64_t rows) {
  each_wanted(*this, [&]<typename T>(T*, Column<T>& column, auto, T) {
    column.device = builder.take<T>(rows);
    column.host.resize(static_cast<size_t>(rows));
  });
}

void TokenResults::request(ms_token_loss_args& loss, int64_t row) const {
  each_wanted(*this, [&](auto*, const auto& column, auto member, auto) { loss.*member = column.device + row; });
}

void TokenResults::download(Builder& builder) {
  each_wanted(*this, [&](auto*, auto& column, auto, auto) {
    builder.download(column.host.data(), column.device, static_cast<int64_t>(column.host.size()));
  });
}

void TokenResults::store(const PackedRows& rows) const {
  each_wanted(*this, [&](auto* output, const auto& column, auto, auto) {
    for (size_t i = 0; i < rows.loss_tokens.size(); ++i) output[rows.loss_tokens[i]] = column.host[i];
  });
}

}  // namespace mendset
