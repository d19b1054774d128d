#include "model/step_passes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/schedule.h"

namespace mendset {

namespace {

int64_t length(const PackedBatch& batch, int64_t sample) {
  return batch.offsets[static_cast<size_t>(sample) + 1] - batch.offsets[static_cast<size_t>(sample)];
}

bool reads_chosen(const StepRequest& r) { return r.loss == StepRequest::Loss::ce || r.loss == StepRequest::Loss::dpo; }
bool reads_rejected(const StepRequest& r) { return r.loss == StepRequest::Loss::dpo || r.loss == StepRequest::Loss::npo; }

int64_t scored_tokens(const PackedBatch& batch) {
  int64_t sum = 0;
  for (int64_t s = 0; s < batch.samples(); ++s) sum += scored_tokens(batch, s);
  return sum;
}

}  // namespace

StepPasses::StepPasses(const Trainer& trainer, const StepRequest& request, StepResult* result)
    : trainer_(trainer), model_(*trainer.model()), request_(request), result_(result) {
  for (const PackedBatch* side : {&request.chosen, &request.rejected}) {
    if (side == &request.chosen ? !reads_chosen(request) : !reads_rejected(request)) continue;
    repair_tokens_ += scored_tokens(*side);
    result->tokens += side->tokens();
  }
  if (request.weight_kl > 0) kl_tokens_ = scored_tokens(request.normal);
  result->scored_tokens = request.loss == StepRequest::Loss::none ? kl_tokens_ : repair_tokens_;
  if (reads_rejected(request)) result->pair_margins.assign(static_cast<size_t>(repair_samples()), 0);
  if (request.weight_kl > 0) result->tokens += request.normal.tokens();
  if (!request.sensitivity.offsets.empty()) {
    sensitivity_tokens_ = scored_tokens(request.sensitivity);
    result->tokens += request.sensitivity.tokens();
  }
  cut(0, false);
}

int64_t StepPasses::repair_samples() const {
  return reads_chosen(request_) ? request_.chosen.samples() : reads_rejected(request_) ? request_.rejected.samples() : 0;
}

int64_t StepPasses::repair_tokens(int64_t sample) const {
  return (reads_chosen(request_) ? length(request_.chosen, sample) : 0) +
         (reads_rejected(request_) ? length(request_.rejected, sample) : 0);
}

void StepPasses::cut(int64_t most_tokens, bool checkpointed) {
  checkpointed_ = checkpointed;
  micro_batches_.clear();
  int64_t tokens = 0;
  const auto open_for = [&](int64_t more, MicroBatch next) -> MicroBatch& {
    if (micro_batches_.empty() || (most_tokens > 0 && tokens + more > most_tokens)) {
      micro_batches_.push_back(next);
      tokens = 0;
    }
    tokens += more;
    return micro_batches_.back();
  };
  const int64_t samples = repair_samples();
  for (int64_t s = 0; s < samples; ++s) open_for(repair_tokens(s), {s, s, 0, 0}).last = s + 1;
  const int64_t normal = request_.weight_kl > 0 ? request_.normal.samples() : 0;
  for (int64_t s = 0; s < normal; ++s) {
    MicroBatch& batch = open_for(length(request_.normal, s), {samples, samples, s, s});
    if (batch.normal_last == 0) batch.normal_first = s;
    batch.normal_last = s + 1;
  }
  sensitivity_ranges_.clear();
  if (request_.sensitivity.offsets.empty()) return;
  // A part of its own only where one pass over everything would hold many more activations than gradients.
  const int64_t whole = !model_.backend()->on_host() ? pass_tokens(model_) : model_.architecture().width < 512 ? 8192 : 2048;
  sensitivity_ranges_ = split_samples(request_.sensitivity, most_tokens > 0 ? std::min(whole, most_tokens) : whole);
}

int64_t StepPasses::next_cut() const {
  int64_t largest = 0;
  const auto tokens_of = [&](const MicroBatch& batch) {
    int64_t tokens = 0;
    for (int64_t s = batch.first; s < batch.last; ++s) tokens += repair_tokens(s);
    for (int64_t s = batch.normal_first; s < batch.normal_last; ++s) tokens += length(request_.normal, s);
    return tokens;
  };
  for (const MicroBatch& batch : micro_batches_) {
    if (batch.last - batch.first + batch.normal_last - batch.normal_first > 1) largest = std::max(largest, tokens_of(batch));
  }
  for (const auto& [first, last] : sensitivity_ranges_) {
    if (last - first > 1) {
      largest = std::max<int64_t>(largest, request_.sensitivity.offsets[static_cast<size_t>(last)] -
                                               request_.sensitivity.offsets[static_cast<size_t>(first)]);
    }
  }
  return std::max<int64_t>(largest - 1, 0);
}

void StepPasses::prepare_sensitivity(size_t part) {
  const auto [first, last] = sensitivity_ranges_[part];
  pass_ = LossPass();
  pass_.model = &model_;
  pass_.adapter = trainer_.adapter();
  pass_.checkpointed = checkpointed_;
  pass_.add_ce(request_.sensitivity, first, last, 1 / static_cast<float>(sensitivity_tokens_));
  span_ = {0, static_cast<int32_t>(pass_.rows.rows())};
  squares_.assign(sensitivity_ranges_.size() == 1 ? model_.tensors().size() : model_.groups().size(), 0);
}

void StepPasses::build_sensitivity(Builder& builder, size_t part) {
  prepare_sensitivity(part);
  const int64_t count = static_cast<int64_t>(squares_.size());
  const auto take_squares = [&] {
    double* squares = builder.take<double>(count);
    builder.zero(reinterpret_cast<float*>(squares), 2 * count);  // all bits zero is 0.0 in fp64 too
    return squares;
  };
  if (sensitivity_ranges_.size() == 1) {
    double* squares = take_squares();
    // The whole batch counts as one sample: the norm of the batch's gradient, cross terms between samples included.
    const SampleSpans whole{1, span_[1], builder.upload(span_)};
    building_ = GradientSink::sample_norms(model_, GradientSink::Wanted::every_block(), squares, whole);
    building_.adapt_inputs(trainer_.adapter());
    build_loss_pass(builder, pass_, &building_);
    builder.download(squares_.data(), squares, count);
    return;
  }
  // A batch too large for one pass: the norm is of the summed gradient, so block gradients are summed over the parts first.
  building_ = part == 0 ? GradientSink::gradients(model_, GradientSink::Wanted::every_block()) : sink_;
  building_.adapt_inputs(trainer_.adapter());
  building_.hold(builder);
  if (pass_.losses() > 0) build_loss_pass(builder, pass_, &building_);
  if (part + 1 < sensitivity_ranges_.size()) return;
  double* squares = take_squares();
  for (size_t g = 1; g + 1 < squares_.size(); ++g) {
    const TensorGroup& group = model_.groups()[g];
    builder.add(ms_sum_squares_args{group.end - group.begin, building_.group(g), squares + g}, model_.block_of_group(g));
  }
  builder.download(squares_.data(), squares, count);
}

Status StepPasses::finish_sensitivity(size_t part) { return part + 1 < sensitivity_ranges_.size() ? Status() : choose_blocks(); }

Status StepPasses::choose_blocks() {
  const size_t layers = static_cast<size_t>(model_.architecture().layers);
  result_->sensitivities.assign(layers, 0);
  const bool per_tensor = sensitivity_ranges_.size() == 1;  // else per group
  for (size_t i = 0; i < squares_.size(); ++i) {
    const int32_t block = per_tensor ? model_.tensors()[i].block : model_.block_of_group(i);
    if (block >= 0) result_->sensitivities[static_cast<size_t>(block)] += squares_[i];
  }
  for (size_t b = 0; b < layers; ++b) {
    double& s = result_->sensitivities[b];
    s = std::sqrt(s);
    if (!std::isfinite(s))
      return failure(Code::non_finite,
                     "The sensitivity of block %zu is not finite; lower the learning rate or check the weights.", b);
  }
  if (request_.slice != Slice::most_sensitive && request_.slice != Slice::least_sensitive) return {};
  std::vector<int32_t> order(layers);
  std::iota(order.begin(), order.end(), 0);
  const double sign = request_.slice == Slice::most_sensitive ? 1 : -1;
  // stable: ties go to the lowest block
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return sign * result_->sensitivities[static_cast<size_t>(a)] > sign * result_->sensitivities[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(request_.slice_count));
  std::sort(order.begin(), order.end());
  result_->blocks = std::move(order);
  return {};
}

void StepPasses::prepare_loss(size_t part) {
  const StepRequest& r = request_;
  const MicroBatch& batch = micro_batches_[part];
  pass_ = LossPass();
  pass_.model = &model_;
  pass_.adapter = trainer_.adapter();
  pass_.reference = trainer_.reference();
  pass_.kl_direction = r.kl_direction;
  pass_.checkpointed = checkpointed_;
  if (batch.last > batch.first) {
    const double divisor = static_cast<double>(r.sequence_sum ? r.chosen.samples() : repair_tokens_);
    const double weight = r.loss == StepRequest::Loss::ce ? static_cast<double>(r.weight_repair) / divisor : 0;
    if (reads_chosen(r)) pass_.add_ce(r.chosen, batch.first, batch.last, static_cast<float>(weight));
    if (reads_rejected(r)) {
      pass_.add_ce(r.rejected, batch.first, batch.last, 0);
      pass_.weigh = [this, batch] { return reads_chosen(request_) ? weigh_pairs(batch) : weigh_rejected(batch); };
    }
  }
  if (batch.normal_last > batch.normal_first) {
    const double weight = static_cast<double>(r.weight_kl) / static_cast<double>(kl_tokens_);
    pass_.add_kl(r.normal, batch.normal_first, batch.normal_last, r.reference_hidden, static_cast<float>(weight));
  }
}

void StepPasses::build_loss(Builder& builder, size_t part, const std::vector<int32_t>& blocks) {
  prepare_loss(part);
  if (!backward()) {
    if (pass_.losses() > 0) build_loss_pass(builder, pass_, nullptr);
    return;
  }
  const Adapter* adapter = trainer_.adapter();
  building_ = part == 0 ? GradientSink::gradients(model_, {adapter == nullptr && blocks.empty(), blocks}) : sink_;
  building_.adapt(adapter);
  if (micro_batches_.size() > 1) building_.hold(builder);
  if (pass_.losses() > 0) build_loss_pass(builder, pass_, &building_);
  if (part + 1 < micro_batches_.size()) return;
  double* sums = builder.take<double>(2);
  builder.zero(reinterpret_cast<float*>(sums), 4);
  for (const size_t g : trainer_.groups_of(blocks)) {
    const TensorGroup& group = trainer_.groups()[g];
    const float* base = building_.group(g);
    if (adapter == nullptr) {
      builder.add(ms_sum_squares_args{group.end - group.begin, base, sums}, model_.block_of_group(g));
      continue;
    }
    for (size_t t = group.first; t < group.last; ++t) {
      const int tensor = static_cast<int>(t);
      builder.add(ms_sum_squares_args{trainer_.tensors()[t].count, base + (trainer_.offset(tensor) - group.begin),
                                      sums + (adapter->is_b(tensor) ? 1 : 0)},
                  model_.block_of_group(g));
    }
  }
  builder.download(gradient_squares_, sums, 2);
}

// Summed log-probability of a sample's scored tokens.
double StepPasses::sample_log_prob(size_t sample) const {
  double total = 0;
  for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i)
    total += pass_.log_prob[static_cast<size_t>(i)];
  return total;
}

void StepPasses::weigh_sample(size_t sample, double weight) {
  for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i)
    pass_.ce_weights[static_cast<size_t>(i)] = static_cast<float>(weight);
}

namespace {

// softplus(-z) and sigmoid(-z) without overflow on either side.
struct LogisticLoss {
  double softplus, sigmoid;
  explicit LogisticLoss(double z) {
    const double e = std::exp(-std::abs(z));
    softplus = (z < 0 ? -z : 0) + std::log1p(e);
    sigmoid = z >= 0 ? e / (1 + e) : 1 / (1 + e);
  }
};

Status non_finite_sample(const char* kind, size_t sample) {
  return failure(Code::non_finite,
                 "The log-probabilities of %s %zu are not finite; lower the learning rate or check the weights.", kind, sample);
}

}  // namespace

// With u = beta (log p - log p_ref), the loss 2 / beta softplus(u) falls as p does; its slope in log p is 2 sigmoid(u).
Status StepPasses::weigh_rejected(const MicroBatch& batch) {
  const double beta = static_cast<double>(request_.beta), all = static_cast<double>(request_.rejected.samples());
  for (size_t s = 0; s < static_cast<size_t>(batch.last - batch.first); ++s) {
    const size_t sample = static_cast<size_t>(batch.first) + s;
    const double u = beta * (sample_log_prob(s) - request_.reference_rejected[sample]);
    if (!std::isfinite(u)) return non_finite_sample("sample", sample);
    result_->pair_margins[sample] = u;
    const LogisticLoss logistic(-u);
    result_->loss_repair += 2 / beta * logistic.softplus;
    weigh_sample(s, -2 * static_cast<double>(request_.weight_repair) * logistic.sigmoid / all);
  }
  return {};
}

// z = beta [(log p_chosen - log p_rejected) - (reference's)]; every chosen row gets c = beta sigmoid(-z) / pairs, every rejected
// row -c.
Status StepPasses::weigh_pairs(const MicroBatch& batch) {
  const size_t pairs = static_cast<size_t>(batch.last - batch.first);
  const double beta = static_cast<double>(request_.beta), all_pairs = static_cast<double>(request_.chosen.samples());
  for (size_t p = 0; p < pairs; ++p) {
    const size_t pair = static_cast<size_t>(batch.first) + p;
    const double z = beta * ((sample_log_prob(p) - sample_log_prob(pairs + p)) -
                             (request_.reference_chosen[pair] - request_.reference_rejected[pair]));
    if (!std::isfinite(z)) return non_finite_sample("pair", pair);
    result_->pair_margins[pair] = z;
    const LogisticLoss logistic(z);
    result_->loss_repair += logistic.softplus;
    const double c = static_cast<double>(request_.weight_repair) * beta * logistic.sigmoid / all_pairs;
    weigh_sample(p, c);
    weigh_sample(pairs + p, -c);
  }
  return {};
}

Status StepPasses::finish_loss(size_t part) {
  StepResult& r = *result_;
  if (request_.loss == StepRequest::Loss::ce) {
    for (const double log_prob : pass_.log_prob) r.loss_repair -= log_prob;
  }
  for (const double kl : pass_.kl) r.loss_kl += kl;
  if (part + 1 < micro_batches_.size()) return {};
  if (request_.loss == StepRequest::Loss::ce) {
    r.loss_repair /= static_cast<double>(request_.sequence_sum ? request_.chosen.samples() : repair_tokens_);
  } else if (reads_rejected(request_)) {
    r.loss_repair /= static_cast<double>(repair_samples());
  }
  if (kl_tokens_ > 0) r.loss_kl /= static_cast<double>(kl_tokens_);
  r.loss = static_cast<double>(request_.weight_repair) * r.loss_repair + static_cast<double>(request_.weight_kl) * r.loss_kl;
  if (!std::isfinite(r.loss))
    return failure(Code::non_finite, "The loss is not finite; the weights were not changed. Lower the learning rate.");
  if (!backward()) return {};
  // the held gradient of B is that of scale * B
  const double factor = trainer_.adapter() == nullptr ? 1 : static_cast<double>(trainer_.adapter()->scale());
  r.gradient_norm = std::sqrt(gradient_squares_[0] + factor * factor * gradient_squares_[1]);
  if (!std::isfinite(r.gradient_norm)) {
    return failure(Code::non_finite, "The gradient norm is not finite; the weights were not changed. Lower the learning rate.");
  }
  return {};
}

PlannedMemory StepPasses::plan_sensitivity(const Backend& backend) {
  PlannedMemory all;
  for (size_t part = 0; part < sensitivity_parts(); ++part) {
    all.cover(plan_memory(backend, [&](Builder& builder) { build_sensitivity(builder, part); }));
    planned();
  }
  return all;
}

PlannedMemory StepPasses::plan_loss(const Backend& backend, const std::vector<int32_t>& blocks) {
  PlannedMemory all;
  for (size_t part = 0; has_loss() && part < loss_parts(); ++part) {
    all.cover(plan_memory(backend, [&](Builder& builder) { build_loss(builder, part, blocks); }));
    planned();
  }
  return all;
}

}  // namespace mendset
