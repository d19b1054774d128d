#include "model/schedule.h"

namespace mendset {

namespace {

struct Runner {
  const Backend& backend;
  Status operator()(const Upload& a) const {
    return backend.check(backend.table().upload(backend.context(), a.destination, a.host, a.bytes), "upload");
  }
  Status operator()(const Download& a) const {
    return backend.check(backend.table().download(backend.context(), a.host, a.source, a.bytes), "download");
  }
  Status operator()(const HostStep& a) const { return a.call(); }
#define MS_RUN(name) \
  Status operator()(const ms_##name##_args& a) const { return backend.check(backend.table().name(backend.context(), &a), #name); }
  MS_OPERATIONS(MS_RUN)
#undef MS_RUN
};

struct Scratch {
  int64_t (*ask)(ms_context*, int32_t, const void*);
  ms_context* context;
  int64_t operator()(const Upload&) const { return 0; }
  int64_t operator()(const Download&) const { return 0; }
  int64_t operator()(const HostStep&) const { return 0; }
#define MS_ASK(name) \
  int64_t operator()(const ms_##name##_args& a) const { return ask(context, MS_OPERATION_##name, &a); }
  MS_OPERATIONS(MS_ASK)
#undef MS_ASK
};

// {FLOPs, floats moved}. Exact for matrix products; a small constant per element elsewhere.
struct Pair {
  double flops, floats;
};

double product(int64_t a, int64_t b, int64_t c = 1) {
  return static_cast<double>(a) * static_cast<double>(b) * static_cast<double>(c);
}

struct Coster {
  Pair operator()(const ms_linear_forward_args& a) const { return linear(a.rows, a.in, a.out); }
  Pair operator()(const ms_linear_backward_input_args& a) const { return linear(a.rows, a.in, a.out); }
  Pair operator()(const ms_linear_backward_weight_args& a) const { return linear(a.rows, a.in, a.out); }
  Pair operator()(const ms_linear_sample_norm_args& a) const {
    // Lower triangles of two Gram matrices per sample, or the direct product, whichever is cheaper.
    const double mean_length = a.samples > 0 ? static_cast<double>(a.rows) / static_cast<double>(a.samples) : 0;
    const double gram = mean_length * static_cast<double>(a.in + a.out), direct = 2 * product(a.in, a.out);
    return {static_cast<double>(a.rows) * (gram < direct ? gram : direct), product(a.rows, a.in + a.out)};
  }
  Pair operator()(const ms_attention_forward_args& a) const {
    const double width = product(a.heads, a.head_dim);
    return {2 * product(a.rows, a.max_length) * width, 4 * static_cast<double>(a.rows) * width};
  }
  Pair operator()(const ms_attention_backward_args& a) const {
    const double width = product(a.heads, a.head_dim);
    return {5 * product(a.rows, a.max_length) * width, 8 * static_cast<double>(a.rows) * width};
  }
  Pair operator()(const ms_decode_attention_args& a) const {
    const double width = product(a.heads, a.head_dim), keys = product(a.batch, a.capacity);
    return {4 * keys * width, 2 * keys * width};
  }
  Pair operator()(const ms_norm_forward_args& a) const { return elements(product(a.rows, a.width, a.groups > 0 ? a.groups : 1), 8, 2); }
  Pair operator()(const ms_norm_backward_args& a) const { return elements(product(a.rows, a.width, a.groups > 0 ? a.groups : 1), 12, 4); }
  Pair operator()(const ms_norm_sample_norm_args& a) const { return elements(product(a.rows, a.width, a.groups > 0 ? a.groups : 1), 6, 2); }
  Pair operator()(const ms_embed_forward_args& a) const { return elements(product(a.rows, a.width), 1, 3); }
  Pair operator()(const ms_embed_backward_args& a) const { return elements(product(a.rows, a.width), 2, 5); }
  Pair operator()(const ms_embed_sample_norm_args& a) const { return elements(product(a.rows, a.width), 4, 2); }
  Pair operator()(const ms_token_loss_args& a) const { return elements(product(a.rows, a.vocab), 8, 3); }
  Pair operator()(const ms_rotary_args& a) const { return elements(product(a.rows, a.heads, a.dims), 3, 2); }
  Pair operator()(const ms_glu_forward_args& a) const { return elements(product(a.rows, a.width), 6, 3); }
  Pair operator()(const ms_glu_backward_args& a) const { return elements(product(a.rows, a.width), 12, 5); }
  Pair operator()(const ms_gather_rows_args& a) const { return elements(product(a.rows, a.width), 0, 2); }
  Pair operator()(const ms_scatter_rows_args& a) const { return elements(product(a.rows, a.width), 0, 2); }
  Pair operator()(const ms_cache_fill_args& a) const { return elements(product(a.rows, a.width), 0, 4); }
  Pair operator()(const ms_mean_pool_args& a) const { return elements(product(a.samples, a.width), 1, 2); }
  Pair operator()(const ms_sample_tokens_args& a) const { return elements(product(a.rows, a.vocab), 1, 1); }
  Pair operator()(const ms_fill_args& a) const { return elements(static_cast<double>(a.count), 0, 1); }
  Pair operator()(const ms_sum_squares_args& a) const { return elements(static_cast<double>(a.count), 2, 1); }
  Pair operator()(const ms_rmsprop_args& a) const { return elements(static_cast<double>(a.count), 8, 5); }
  Pair operator()(const ms_adamw_args& a) const { return elements(static_cast<double>(a.count), 14, 7); }
  Pair operator()(const Upload& a) const { return {0, static_cast<double>(a.bytes) / 2}; }
  Pair operator()(const Download& a) const { return {0, static_cast<double>(a.bytes) / 2}; }
  template <typename Other>
  Pair operator()(const Other&) const {
    return {0, 0};
  }

 private:
  static Pair elements(double n, double flops, double floats) { return {n * flops, n * floats}; }
  static Pair linear(int64_t rows, int64_t in, int64_t out) {
    return {2 * product(rows, in, out), product(rows, in) + product(in, out) + product(rows, out)};
  }
};

constexpr size_t kWorthHolding = 4;  // operations; fewer are as quickly started one by one

bool is_operation(const Entry& entry) {
  return !std::holds_alternative<Upload>(entry.operation) && !std::holds_alternative<Download>(entry.operation) &&
         !std::holds_alternative<HostStep>(entry.operation);
}

// A device works behind the call, so each entry is waited for.
Status run_profiled(const Backend& backend, const Entry& entry) {
  const auto begin = OperationProfile::Clock::now();
  MS_TRY(std::visit(Runner{backend}, entry.operation));
  if (!backend.on_host()) MS_TRY(backend.check(backend.table().synchronize(backend.context()), "synchronize"));
  backend.profile()->add(entry.operation.index(), entry.block, begin, OperationProfile::Clock::now(), entry.flops, entry.bytes);
  return {};
}

}  // namespace

#define MS_NAME(name) , #name
const std::array<const char*, std::variant_size_v<Operation>> kOperationNames{"upload", "download", "host step" MS_OPERATIONS(MS_NAME)};
#undef MS_NAME

Builder::Cost Builder::cost_of(const Operation& operation) {
  const Pair pair = std::visit(Coster(), operation);
  return {pair.flops, pair.floats * sizeof(float)};
}

void Schedule::clear() {
  entries_.clear();
  flops_ = 0;
}

void Schedule::add(Operation operation, int32_t block, double flops, double bytes) {
  entries_.push_back({std::move(operation), block, flops, bytes});
  flops_ += flops;
}

int64_t Schedule::scratch_bytes(const Backend& backend) const {
  const auto ask = backend.table().scratch_bytes;
  int64_t most = 0;
  for (const Entry& entry : entries_) {
    if (ask != nullptr) most = std::max(most, std::visit(Scratch{ask, backend.context()}, entry.operation));
  }
  return most;
}

Status Schedule::run_sequence(const Backend& backend, size_t* next, size_t last) const {
  const ms_backend& table = backend.table();
  MS_TRY(backend.check(table.begin_sequence(backend.context()), "begin_sequence"));
  Status status;
  for (; status.ok() && *next < last; ++*next) status = std::visit(Runner{backend}, entries_[*next].operation);
  const Status ended = backend.check(table.end_sequence(backend.context()), "a sequence of operations");
  return status.ok() ? ended : status;
}

Status Schedule::run(const Backend& backend, Deadline deadline, size_t* next) const {
  if (*next >= entries_.size()) return {};
  const bool sequences = backend.table().begin_sequence != nullptr && backend.profile() == nullptr;
  do {
    size_t last = *next;
    while (sequences && last < entries_.size() && is_operation(entries_[last])) ++last;
    if (last - *next >= kWorthHolding) {
      MS_TRY(run_sequence(backend, next, last));
      continue;
    }
    MS_TRY(backend.profile() == nullptr ? std::visit(Runner{backend}, entries_[*next].operation) : run_profiled(backend, entries_[*next]));
    ++*next;
  } while (*next < entries_.size() && !deadline.passed());
  return backend.check(backend.table().synchronize(backend.context()), "synchronize");
}

}  // namespace mendset
