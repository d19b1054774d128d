// Choosing the next token of each row. Nothing sorts the vocabulary: tokens fall into buckets by their logit, and only the bucket
// in which a boundary lies (the k-th token, the nucleus, the drawn token) is put in order.
#include <algorithm>
#include <cmath>

#include "cpu/cpu_operations.h"
#include "cpu/kernels.h"
#include "cpu/partition.h"

namespace mendset {

using namespace cpu;

namespace {

constexpr int64_t kBuckets = 1024;

struct Scratch {
  float* p;         // [V]
  int32_t* ids;     // [V]: tokens of one bucket
  int32_t* bucket;  // [V]
  double* mass;     // [kBuckets]
  int64_t* count;   // [kBuckets]
};

// A prefix of the tokens in order of (logit descending, id ascending): whole buckets before `bucket` and `count` tokens of it.
struct Prefix {
  int64_t bucket, count;
  double mass;
};

class RankedTokens {
 public:
  RankedTokens(const float* z, int64_t vocab, float largest, float smallest, const Scratch& scratch)
      : z_(z), vocab_(vocab), s_(scratch) {
    const float range = largest - smallest;
    const float scale = range > 0 && std::isfinite(range) ? static_cast<float>(kBuckets - 1) / range : 0.0f;
    std::fill_n(s_.mass, kBuckets, 0.0);
    std::fill_n(s_.count, kBuckets, 0);
    for (int64_t j = 0; j < vocab; ++j) {
      const float place = (largest - z[j]) * scale;
      if (std::isnan(z[j])) {  // never chosen
        s_.bucket[j] = -1;
        continue;
      }
      const int32_t b = scale == 0                                 ? 0
                        : place < static_cast<float>(kBuckets - 1) ? static_cast<int32_t>(place)
                                                                   : static_cast<int32_t>(kBuckets - 1);
      s_.bucket[j] = b;
      s_.mass[b] += static_cast<double>(s_.p[j]);
      ++s_.count[b];
    }
  }

  Prefix all() const {
    Prefix prefix{kBuckets - 1, 0, 0};
    for (int64_t b = 0; b < kBuckets; ++b) prefix.mass += s_.mass[b];
    while (prefix.bucket > 0 && s_.count[prefix.bucket] == 0) --prefix.bucket;
    prefix.count = s_.count[prefix.bucket];
    return prefix;
  }

  Prefix first(int64_t tokens) {
    Prefix prefix{0, tokens, 0};
    while (prefix.bucket < kBuckets - 1 && prefix.count > s_.count[prefix.bucket]) {
      prefix.mass += s_.mass[prefix.bucket];
      prefix.count -= s_.count[prefix.bucket++];
    }
    prefix.count = std::min(prefix.count, s_.count[prefix.bucket]);
    sort(prefix.bucket);
    for (int64_t i = 0; i < prefix.count; ++i) prefix.mass += static_cast<double>(s_.p[s_.ids[i]]);
    return prefix;
  }

  // The shortest prefix whose mass reaches `mass` (exceeds it when strict), at most `limit`.
  Prefix reach(double mass, bool strict, const Prefix& limit) {
    const auto enough = [mass, strict](double sum) { return strict ? sum > mass : sum >= mass; };
    Prefix prefix{0, 0, 0};
    while (prefix.bucket < limit.bucket && !(s_.count[prefix.bucket] > 0 && enough(prefix.mass + s_.mass[prefix.bucket]))) {
      prefix.mass += s_.mass[prefix.bucket++];
    }
    sort(prefix.bucket);
    const int64_t most = prefix.bucket == limit.bucket ? limit.count : s_.count[prefix.bucket];
    while (prefix.count < most) {
      prefix.mass += static_cast<double>(s_.p[s_.ids[prefix.count++]]);
      if (enough(prefix.mass)) break;
    }
    return prefix;
  }

  // 0 when every logit is NaN.
  int32_t last_token(const Prefix& prefix) {
    if (prefix.count == 0) return 0;
    sort(prefix.bucket);
    return s_.ids[prefix.count - 1];
  }

 private:
  void sort(int64_t bucket) {
    if (bucket == sorted_) return;
    sorted_ = bucket;
    int64_t count = 0;
    for (int64_t j = 0; j < vocab_; ++j) {
      s_.ids[count] = static_cast<int32_t>(j);
      count += s_.bucket[j] == bucket;
    }
    std::sort(s_.ids, s_.ids + count, [z = z_](int32_t i, int32_t j) { return z[i] > z[j] || (z[i] == z[j] && i < j); });
  }

  const float* z_;
  int64_t vocab_, sorted_ = -1;
  Scratch s_;
};

}  // namespace

int32_t cpu_sample_tokens(ms_context* handle, const ms_sample_tokens_args* args) {
  Context& context = context_of(handle);
  const ms_sample_tokens_args& a = *args;
  const TokenLossKernels& kernels = context.kernels.token_loss;
  const bool greedy = a.mode == MS_SAMPLE_GREEDY;
  MS_EXPECT(context, a.rows >= 0 && a.vocab >= 1);
  MS_EXPECT(context, greedy || a.rows == 0 || (a.uniforms && a.temperature > 0));
  if (greedy) {
    run_tasks(context, a.rows, a.rows * a.vocab, [&](int64_t b, int) {
      const float* const z = a.logits + b * a.vocab;
      a.ids[b] = kernels.first_equal(z, a.vocab, kernels.largest(z, a.vocab));
    });
    return MS_OK;
  }

  ScratchPlan plan;  // one after the other for every thread
  const size_t p_at = plan.add<float>(a.vocab), ids_at = plan.add<int32_t>(a.vocab), bucket_at = plan.add<int32_t>(a.vocab);
  const size_t mass_at = plan.add<double>(kBuckets), count_at = plan.add<int64_t>(kBuckets), stride = plan.bytes();
  std::byte* const base = context.workspace.reserve(stride * static_cast<size_t>(context.pool.threads()));
  if (!base) return context.fail(MS_OUT_OF_MEMORY, "no room for the probabilities of the next token");
  run_tasks(context, a.rows, a.rows * a.vocab * 8, [&](int64_t b, int worker) {
    std::byte* const own = base + stride * static_cast<size_t>(worker);
    const Scratch scratch{reinterpret_cast<float*>(own + p_at), reinterpret_cast<int32_t*>(own + ids_at),
                          reinterpret_cast<int32_t*>(own + bucket_at), reinterpret_cast<double*>(own + mass_at),
                          reinterpret_cast<int64_t*>(own + count_at)};
    const float* const z = a.logits + b * a.vocab;
    const float largest = kernels.largest(z, a.vocab);
    kernels.exponentials(z, a.vocab, largest, 1 / a.temperature, scratch.p);
    // logits so low that their probability is 0 share the last bucket
    const float smallest = std::max(*std::min_element(z, z + a.vocab), largest - 88.0f * a.temperature);
    RankedTokens tokens(z, a.vocab, largest, smallest, scratch);
    Prefix kept = a.top_k > 0 && a.top_k < a.vocab ? tokens.first(a.top_k) : tokens.all();
    if (a.top_p < 1) kept = tokens.reach(static_cast<double>(a.top_p) * kept.mass, false, kept);
    a.ids[b] = tokens.last_token(tokens.reach(a.uniforms[b] * kept.mass, true, kept));
  });
  return MS_OK;
}

}  // namespace mendset
