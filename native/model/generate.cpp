// Generation with a key/value cache: prompts of different lengths are read in one packed pass, finished sequences leave the
// batch.
#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/language_model.h"
#include "model/packed_rows.h"

namespace mendset {

namespace {

constexpr int64_t kMaxSequences = 64;       // decoded together
constexpr int64_t kMaxPromptTokens = 4096;  // read in one pass, or one longer prompt
constexpr int64_t kMaxCacheBytes = int64_t{1} << 29;

class GenerateTask : public Task {
 public:
  GenerateTask(std::shared_ptr<Model> model, const PackedBatch& prompts, const GenerateOptions& options, int32_t* out_ids,
               int32_t* out_lengths, uint8_t* stopped)
      : model_(std::move(model)),
        arena_(model_),
        prompts_(prompts),
        options_(options),
        out_ids_(out_ids),
        out_lengths_(out_lengths),
        stopped_(stopped) {
    const size_t samples = static_cast<size_t>(prompts.samples());
    std::fill_n(out_ids, samples * static_cast<size_t>(options.max_new_tokens), -1);
    std::fill_n(out_lengths, samples, 0);
    std::fill_n(stopped, samples, uint8_t{0});
    if (options.max_new_tokens == 0) first_ = last_ = prompts.samples();
  }

  Status step(Deadline deadline) override {
    do {
      if (live_.empty()) MS_TRY(begin_group());
      if (!built_) MS_TRY(build_decode());
      if (next_ == 0) draw_uniforms();
      MS_TRY(schedule_.run(*model_->backend(), deadline, &next_));
      if (next_ < schedule_.entries().size()) return {};
      advance();
    } while (!progress().finished && !deadline.passed());
    return {};
  }

  MemoryForecast forecast() {
    PlannedMemory all;
    int64_t cache_bytes = 0;
    while (first_ < prompts_.samples()) {
      choose_group();
      cache_bytes = std::max(cache_bytes, 2 * static_cast<int64_t>(this->cache_bytes()));
      cache_.keys = cache_.values = reinterpret_cast<float*>(kNowhere);
      begin_sequences();
      all.cover(plan_memory(*model_->backend(), [&](Builder& builder) { build_prompts(builder); }));
      PlannedMemory token = plan_memory(*model_->backend(), [&](Builder& builder) { build_token(builder); });
      token.flops *= static_cast<double>(options_.max_new_tokens - 1);
      all.cover(token);
      live_.clear();
      first_ = last_;
    }
    MemoryForecast out = forecast_of(*model_, all);
    out.cache = cache_bytes;
    return out;
  }

  // In sequences; one that is being written counts by its share of max_new_tokens.
  Progress progress() const override {
    const double total = static_cast<double>(prompts_.samples());
    if (first_ == prompts_.samples()) return {total, total, true};
    double done = static_cast<double>(last_ - static_cast<int64_t>(live_.size()));
    if (live_.empty()) done = static_cast<double>(first_);
    for (const Sequence& sequence : live_)
      done += static_cast<double>(sequence.written) / static_cast<double>(options_.max_new_tokens);
    return {done, total, false};
  }

 private:
  struct Sequence {
    int64_t sample;
    int64_t written = 0;
    int32_t slot;
    RandomStream random;  // its i-th uniform chooses the i-th token, whatever else is in the batch
  };

  int64_t prompt_length(int64_t sample) const {
    return prompts_.offsets[static_cast<size_t>(sample) + 1] - prompts_.offsets[static_cast<size_t>(sample)];
  }

  // The next prompts that fit together.
  void choose_group() {
    const Architecture& a = model_->architecture();
    int64_t tokens = 0, longest = 0;
    for (last_ = first_; last_ < prompts_.samples() && last_ - first_ < kMaxSequences; ++last_) {
      const int64_t length = prompt_length(last_), capacity = std::max(longest, length) + options_.max_new_tokens;
      const int64_t cache_bytes = 2 * a.layers * (last_ - first_ + 1) * capacity * a.kv_width() * static_cast<int64_t>(sizeof(float));
      if (last_ > first_ && (tokens + length > kMaxPromptTokens || cache_bytes > kMaxCacheBytes)) break;
      tokens += length;
      longest = std::max(longest, length);
    }
    cache_.slots = last_ - first_;
    cache_.capacity = longest + options_.max_new_tokens;
  }

  // Of the keys, and of the values, of the group.
  size_t cache_bytes() const {
    const Architecture& a = model_->architecture();
    return static_cast<size_t>(a.layers * cache_.slots * cache_.capacity * a.kv_width()) * sizeof(float);
  }

  // The group's cache, and the pass that reads its prompts.
  Status begin_group() {
    choose_group();
    if (keys_.bytes() < cache_bytes()) {
      keys_.reset();
      values_.reset();
      MS_TRY(Buffer::allocate(model_->backend(), cache_bytes(), &keys_));
      MS_TRY(Buffer::allocate(model_->backend(), cache_bytes(), &values_));
    }
    cache_.keys = keys_.as<float>();
    cache_.values = values_.as<float>();
    begin_sequences();
    MS_TRY(plan(*arena_, schedule_, [&](Builder& builder) { build_prompts(builder); }));
    return begin_schedule(true);
  }

  void begin_sequences() {
    rows_ = PackedRows();
    rows_.append(prompts_, first_, last_, false);
    slots_.clear();
    last_rows_.clear();
    for (int64_t s = first_; s < last_; ++s) {
      const int32_t slot = static_cast<int32_t>(s - first_);
      const uint32_t sub = options_.subs.empty() ? static_cast<uint32_t>(1024 * s) : options_.subs[static_cast<size_t>(s)];
      live_.push_back({s, 0, slot, RandomStream(options_.seed, static_cast<uint32_t>(StreamId::generation), sub)});
      slots_.push_back(slot);
      last_rows_.push_back(rows_.offsets[static_cast<size_t>(slot) + 1] - 1);
    }
    resize();
  }

  void build_prompts(Builder& builder) {
    const DeviceRows rows = upload_rows(builder, rows_);
    KeyValueCache cache = cache_;
    cache.slot_of = builder.upload(slots_);
    const ForwardPass pass = build_forward(builder, *model_, rows, model_->architecture().layers, false, &cache);
    const int64_t batch = static_cast<int64_t>(live_.size());
    float* last = builder.take<float>(batch * model_->architecture().width);
    builder.add(ms_gather_rows_args{batch, model_->architecture().width, builder.upload(last_rows_), pass.output, last});
    builder.give(pass.output);
    build_choice(builder, last);
  }

  Status begin_schedule(bool reads_prompts) {
    reads_prompts_ = reads_prompts;
    built_ = true;
    next_ = 0;
    return {};
  }

  // One token for every live sequence. The list is used again until a sequence ends: only the uploaded numbers change.
  Status build_decode() {
    resize();
    MS_TRY(plan(*arena_, schedule_, [&](Builder& builder) { build_token(builder); }));
    return begin_schedule(false);
  }

  void build_token(Builder& builder) {
    DeviceRows rows;
    rows.rows = rows.samples = static_cast<int64_t>(live_.size());
    rows.max_length = 1;
    rows.ids = builder.upload(ids_);
    rows.positions = builder.upload(positions_);
    KeyValueCache cache = cache_;
    cache.slot_of = builder.upload(slots_);
    cache.lengths = builder.upload(lengths_);
    const ForwardPass pass = build_forward(builder, *model_, rows, model_->architecture().layers, false, &cache);
    build_choice(builder, pass.output);
  }

  void build_choice(Builder& builder, float* output) {
    const Architecture& a = model_->architecture();
    const int64_t batch = static_cast<int64_t>(live_.size());
    float* hidden = builder.take<float>(batch * a.width);
    build_norm(builder, *model_, model_->map().final_norm, batch, output, hidden, nullptr, nullptr, -1);
    float* logits = builder.take<float>(batch * a.vocab);
    build_logits(builder, *model_, batch, hidden, logits);
    int32_t* ids = builder.take<int32_t>(batch);
    const double* uniforms = options_.greedy ? nullptr : builder.upload(uniforms_);
    builder.add(ms_sample_tokens_args{batch, a.vocab, logits, options_.greedy ? MS_SAMPLE_GREEDY : MS_SAMPLE_NUCLEUS,
                                      options_.top_k, options_.temperature, options_.top_p, uniforms, ids});
    builder.download(ids_.data(), ids, batch);
  }

  void resize() {
    ids_.resize(live_.size());
    positions_.resize(live_.size());
    lengths_.resize(live_.size());
    uniforms_.resize(live_.size());
  }

  void draw_uniforms() {
    if (options_.greedy) return;
    for (size_t i = 0; i < live_.size(); ++i) uniforms_[i] = live_[i].random.uniform();
  }

  // Stores the chosen tokens, drops ended sequences, and makes the rest the next input.
  void advance() {
    size_t kept = 0;
    for (size_t i = 0; i < live_.size(); ++i) {
      Sequence& sequence = live_[i];
      const size_t sample = static_cast<size_t>(sequence.sample);
      if (ids_[i] == options_.eos) {
        stopped_[sample] = 1;
        continue;
      }
      out_ids_[sequence.sample * options_.max_new_tokens + sequence.written] = ids_[i];
      out_lengths_[sample] = static_cast<int32_t>(++sequence.written);
      if (sequence.written == options_.max_new_tokens) continue;
      const int32_t last_position = rows_.positions[static_cast<size_t>(last_rows_[static_cast<size_t>(sequence.slot)])];
      ids_[kept] = ids_[i];
      positions_[kept] = last_position + static_cast<int32_t>(sequence.written);
      lengths_[kept] = static_cast<int32_t>(prompt_length(sequence.sample) + sequence.written - 1);
      slots_[kept] = sequence.slot;
      live_[kept++] = sequence;
    }
    built_ = !reads_prompts_ && kept == live_.size();
    next_ = 0;
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(kept), live_.end());
    slots_.resize(kept);
    if (kept == 0) {
      first_ = last_;
      built_ = false;
    }
  }

  std::shared_ptr<Model> model_;
  ArenaLease arena_;
  PackedBatch prompts_;
  GenerateOptions options_;
  int32_t *out_ids_, *out_lengths_;
  uint8_t* stopped_;
  int64_t first_ = 0, last_ = 0;  // samples of the current group
  Buffer keys_, values_;
  KeyValueCache cache_;
  PackedRows rows_;
  std::vector<Sequence> live_;
  std::vector<int32_t> ids_, positions_, lengths_, slots_, last_rows_;
  std::vector<double> uniforms_;
  Schedule schedule_;
  size_t next_ = 0;
  bool built_ = false, reads_prompts_ = false;
};

}  // namespace

namespace {

Status check_generation(const Model& model, const PackedBatch& prompts, const GenerateOptions& options) {
  const Architecture& a = model.architecture();
  MS_TRY(check_batch(prompts, a, "The prompts"));
  if (options.max_new_tokens < 0 || options.max_new_tokens > a.context) {
    return failure(Code::invalid_argument, "max_new_tokens must lie in 0 .. %lld (the context), got %lld.",
                   static_cast<long long>(a.context), static_cast<long long>(options.max_new_tokens));
  }
  for (int64_t s = 0; s < prompts.samples(); ++s) {
    const int32_t end = prompts.offsets[static_cast<size_t>(s) + 1];
    const int64_t used = prompts.positions.empty() ? end - prompts.offsets[static_cast<size_t>(s)]
                                                   : prompts.positions[static_cast<size_t>(end) - 1] + 1;
    if (used + options.max_new_tokens > a.context) {
      return failure(
          Code::invalid_argument,
          "Prompt %lld ends at position %lld; with %lld new tokens it would exceed the context of %lld. Shorten the prompt.",
          static_cast<long long>(s), static_cast<long long>(used), static_cast<long long>(options.max_new_tokens),
          static_cast<long long>(a.context));
    }
  }
  if (!options.subs.empty() && options.subs.size() != static_cast<size_t>(prompts.samples())) {
    return failure(Code::invalid_argument, "There are %zu random sub-streams for %lld prompts.", options.subs.size(),
                   static_cast<long long>(prompts.samples()));
  }
  if (!options.greedy) {
    if (!(options.temperature > 0) || !std::isfinite(options.temperature)) {
      return failure(Code::invalid_argument, "temperature must be positive, got %g; use greedy for 0.",
                     static_cast<double>(options.temperature));
    }
    if (!(options.top_p > 0 && options.top_p <= 1))
      return failure(Code::invalid_argument, "top_p must lie in (0, 1], got %g.", static_cast<double>(options.top_p));
    if (options.top_k < 0) return failure(Code::invalid_argument, "top_k must be 0 (off) or more, got %d.", options.top_k);
  }
  return {};
}

}  // namespace

Status generate_task(const std::shared_ptr<Model>& model, const PackedBatch& prompts, const GenerateOptions& options,
                     int32_t* out_ids, int32_t* out_lengths, uint8_t* stopped, std::unique_ptr<Task>* task) {
  MS_TRY(check_generation(*model, prompts, options));
  *task = std::make_unique<GenerateTask>(model, prompts, options, out_ids, out_lengths, stopped);
  return {};
}

Status forecast_generate(const std::shared_ptr<Model>& model, const PackedBatch& prompts, const GenerateOptions& options,
                         MemoryForecast* out) {
  MS_TRY(check_generation(*model, prompts, options));
  std::vector<int32_t> ids(static_cast<size_t>(prompts.samples() * options.max_new_tokens)),
      lengths(static_cast<size_t>(prompts.samples()));
  std::vector<uint8_t> stopped(lengths.size());
  *out = GenerateTask(model, prompts, options, ids.data(), lengths.data(), stopped.data()).forecast();
  return {};
}

}  // namespace mendset
