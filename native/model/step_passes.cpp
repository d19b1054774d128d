#include "model/step_passes.h"

#include <algorithm>
#include <cmath>

#include "model/schedule.h"

namespace mendset {

namespace {

int64_t length(const PackedBatch& batch, int64_t sample) {
  return batch.offsets[static_cast<size_t>(sample) + 1] - batch.offsets[static_cast<size_t>(sample)];
}

int64_t scored_tokens(const PackedBatch& batch) {
  int64_t sum = 0;
  for (int64_t s = 0; s < batch.samples(); ++s) sum += scored_tokens(batch, s);
  return sum;
}

}  // namespace

StepPasses::StepPasses(const Model& model, const Model* reference, const StepRequest& request, StepResult* result)
    : model_(model), reference_(reference), request_(request), result_(result) {
  if (request.loss != StepRequest::Loss::none) repair_tokens_ += scored_tokens(request.chosen);
  if (request.loss == StepRequest::Loss::dpo) repair_tokens_ += scored_tokens(request.rejected);
  if (request.weight_kl > 0) kl_tokens_ = scored_tokens(request.normal);
  result->scored_tokens = request.loss == StepRequest::Loss::none ? kl_tokens_ : repair_tokens_;
  if (request.loss != StepRequest::Loss::none) result->tokens += request.chosen.tokens();
  if (request.loss == StepRequest::Loss::dpo) {
    result->tokens += request.rejected.tokens();
    result->pair_margins.assign(static_cast<size_t>(request.chosen.samples()), 0);
  }
  if (request.weight_kl > 0) result->tokens += request.normal.tokens();
  if (!request.sensitivity.offsets.empty()) {
    sensitivity_tokens_ = scored_tokens(request.sensitivity);
    result->tokens += request.sensitivity.tokens();
  }
  cut(0, false);
}

int64_t StepPasses::repair_tokens(int64_t sample) const {
  return length(request_.chosen, sample) + (request_.loss == StepRequest::Loss::dpo ? length(request_.rejected, sample) : 0);
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
  const int64_t samples = request_.loss != StepRequest::Loss::none ? request_.chosen.samples() : 0;
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
  const int64_t whole = model_.architecture().width < 512 ? 8192 : 2048;
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

std::pair<size_t, size_t> StepPasses::groups_of(int32_t block) const {
  const size_t b = static_cast<size_t>(block) + 1;
  return block < 0 ? std::pair<size_t, size_t>{0, model_.groups().size()} : std::pair<size_t, size_t>{b, b + 1};
}

void StepPasses::prepare_sensitivity(size_t part) {
  const auto [first, last] = sensitivity_ranges_[part];
  pass_ = LossPass();
  pass_.model = &model_;
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
    building_ = GradientSink::sample_norms(model_, GradientSink::kBlocksOnly, squares, whole);
    build_loss_pass(builder, pass_, &building_);
    builder.download(squares_.data(), squares, count);
    return;
  }
  // A batch too large for one pass: the norm is of the summed gradient, so block gradients are summed over the parts first.
  building_ = part == 0 ? GradientSink::gradients(model_, GradientSink::kBlocksOnly) : sink_;
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

Status StepPasses::finish_sensitivity(size_t part) { return part + 1 < sensitivity_ranges_.size() ? Status() : choose_block(); }

Status StepPasses::choose_block() {
  const size_t layers = static_cast<size_t>(model_.architecture().layers);
  result_->sensitivities.assign(layers, 0);
  const bool per_tensor = sensitivity_ranges_.size() == 1;  // else per group
  for (size_t i = 0; i < squares_.size(); ++i) {
    const int32_t block = per_tensor ? model_.tensors()[i].block : model_.block_of_group(i);
    if (block >= 0) result_->sensitivities[static_cast<size_t>(block)] += squares_[i];
  }
  size_t most = 0, least = 0;
  for (size_t b = 0; b < layers; ++b) {
    double& s = result_->sensitivities[b];
    s = std::sqrt(s);
    if (!std::isfinite(s))
      return failure(Code::non_finite,
                     "The sensitivity of block %zu is not finite; lower the learning rate or check the weights.", b);
    if (s > result_->sensitivities[most]) most = b;
    if (s < result_->sensitivities[least]) least = b;
  }
  if (request_.slice == Slice::most_sensitive) result_->block = static_cast<int32_t>(most);
  if (request_.slice == Slice::least_sensitive) result_->block = static_cast<int32_t>(least);
  return {};
}

void StepPasses::prepare_loss(size_t part) {
  const StepRequest& r = request_;
  const MicroBatch& batch = micro_batches_[part];
  pass_ = LossPass();
  pass_.model = &model_;
  pass_.reference = reference_;
  pass_.kl_direction = r.kl_direction;
  pass_.checkpointed = checkpointed_;
  if (batch.last > batch.first) {
    const bool pairs = r.loss == StepRequest::Loss::dpo;
    const double divisor = static_cast<double>(r.sequence_sum ? r.chosen.samples() : repair_tokens_);
    pass_.add_ce(r.chosen, batch.first, batch.last,
                 pairs ? 0 : static_cast<float>(static_cast<double>(r.weight_repair) / divisor));
    if (pairs) {
      pass_.add_ce(r.rejected, batch.first, batch.last, 0);
      pass_.weigh = [this, batch] { return weigh_pairs(batch); };
    }
  }
  if (batch.normal_last > batch.normal_first) {
    const double weight = static_cast<double>(r.weight_kl) / static_cast<double>(kl_tokens_);
    pass_.add_kl(r.normal, batch.normal_first, batch.normal_last, r.reference_hidden, static_cast<float>(weight));
  }
}

void StepPasses::build_loss(Builder& builder, size_t part, int32_t block) {
  prepare_loss(part);
  if (!backward()) {
    if (pass_.losses() > 0) build_loss_pass(builder, pass_, nullptr);
    return;
  }
  building_ = part == 0 ? GradientSink::gradients(model_, block) : sink_;
  if (micro_batches_.size() > 1) building_.hold(builder);
  if (pass_.losses() > 0) build_loss_pass(builder, pass_, &building_);
  if (part + 1 < micro_batches_.size()) return;
  const auto [first, last] = groups_of(block);
  double* sum = builder.take<double>(1);
  builder.zero(reinterpret_cast<float*>(sum), 2);
  for (size_t g = first; g < last; ++g) {
    const TensorGroup& group = model_.groups()[g];
    builder.add(ms_sum_squares_args{group.end - group.begin, building_.group(g), sum}, model_.block_of_group(g));
  }
  builder.download(&gradient_square_, sum, 1);
}

// z = beta [(log p_chosen - log p_rejected) - (reference's)]; every chosen row gets c = beta sigmoid(-z) / pairs, every rejected
// row -c.
Status StepPasses::weigh_pairs(const MicroBatch& batch) {
  const size_t pairs = static_cast<size_t>(batch.last - batch.first);
  const auto sum = [&](size_t sample) {
    double total = 0;
    for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i)
      total += pass_.log_prob[static_cast<size_t>(i)];
    return total;
  };
  const auto weigh = [&](size_t sample, double weight) {
    for (int32_t i = pass_.rows.loss_offsets[sample]; i < pass_.rows.loss_offsets[sample + 1]; ++i) {
      pass_.ce_weights[static_cast<size_t>(i)] = static_cast<float>(weight);
    }
  };
  const double beta = static_cast<double>(request_.beta), all_pairs = static_cast<double>(request_.chosen.samples());
  for (size_t p = 0; p < pairs; ++p) {
    const size_t pair = static_cast<size_t>(batch.first) + p;
    const double z = beta * ((sum(p) - sum(pairs + p)) - (request_.reference_chosen[pair] - request_.reference_rejected[pair]));
    if (!std::isfinite(z))
      return failure(Code::non_finite,
                     "The log-probabilities of pair %zu are not finite; lower the learning rate or check the weights.", pair);
    result_->pair_margins[pair] = z;
    // softplus(-z) and sigmoid(-z) without overflow on either side
    const double e = std::exp(-std::abs(z));
    result_->loss_repair += (z < 0 ? -z : 0) + std::log1p(e);
    const double sigmoid = z >= 0 ? e / (1 + e) : 1 / (1 + e);
    const double c = static_cast<double>(request_.weight_repair) * beta * sigmoid / all_pairs;
    weigh(p, c);
    weigh(pairs + p, -c);
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
  } else if (request_.loss == StepRequest::Loss::dpo) {
    r.loss_repair /= static_cast<double>(request_.chosen.samples());
  }
  if (kl_tokens_ > 0) r.loss_kl /= static_cast<double>(kl_tokens_);
  r.loss = static_cast<double>(request_.weight_repair) * r.loss_repair + static_cast<double>(request_.weight_kl) * r.loss_kl;
  if (!std::isfinite(r.loss))
    return failure(Code::non_finite, "The loss is not finite; the weights were not changed. Lower the learning rate.");
  if (!backward()) return {};
  r.gradient_norm = std::sqrt(gradient_square_);
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

PlannedMemory StepPasses::plan_loss(const Backend& backend, int32_t block) {
  PlannedMemory all;
  for (size_t part = 0; has_loss() && part < loss_parts(); ++part) {
    all.cover(plan_memory(backend, [&](Builder& builder) { build_loss(builder, part, block); }));
    planned();
  }
  return all;
}

}  // namespace mendset
