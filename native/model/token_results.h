// What a head pass finds out about every scored token, on its way from the backend to the caller's arrays.
#pragma once

#include <vector>

#include "model/language_model.h"
#include "model/packed_rows.h"
#include "model/schedule.h"

namespace mendset {

class TokenResults {
 public:
  explicit TokenResults(const TokenOutputs& outputs) : outputs_(outputs) {}

  bool wanted() const {
    return outputs_.log_prob != nullptr || outputs_.el2n != nullptr || outputs_.margin != nullptr || outputs_.argmax != nullptr;
  }
  // What tokens hold that are not scored targets.
  void clear(int64_t tokens) const;
  // Room for the loss rows of one pass, on the backend and here.
  void take(Builder& builder, int64_t rows);
  // Has the operation on the loss rows from `row` on leave its results there.
  void request(ms_token_loss_args& loss, int64_t row) const;
  void download(Builder& builder);
  // Once the pass has run: into the caller's arrays.
  void store(const PackedRows& rows) const;

 private:
  template <typename T>
  struct Column {
    T* device = nullptr;
    std::vector<T> host;
  };

  // each(output, column, member of ms_token_loss_args, value of other tokens)
  template <typename Self, typename Each>
  static void each_wanted(Self& self, Each&& each) {
    if (self.outputs_.log_prob != nullptr) each(self.outputs_.log_prob, self.log_prob_, &ms_token_loss_args::log_prob, 0.0);
    if (self.outputs_.el2n != nullptr) each(self.outputs_.el2n, self.el2n_, &ms_token_loss_args::el2n, 0.0);
    if (self.outputs_.margin != nullptr) each(self.outputs_.margin, self.margin_, &ms_token_loss_args::margin, 0.0);
    if (self.outputs_.argmax != nullptr) each(self.outputs_.argmax, self.argmax_, &ms_token_loss_args::argmax, -1);
  }

  TokenOutputs outputs_;
  Column<double> log_prob_, el2n_, margin_;
  Column<int32_t> argmax_;
};

}  // namespace mendset
