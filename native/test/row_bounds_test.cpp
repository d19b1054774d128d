// What nearest_bounded keeps of a row, held against fp64 distances after every pass over wandering centroids: labels are the nearest ones, and every
// bound is one, whether it was just set, has been left alone for passes, or passed from label to neighbour to runner.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/backend.h"
#include "core/random.h"
#include "test/check.h"

using namespace mendset;

namespace {

constexpr int64_t kRows = 400, kMostRunning = 3, kPasses = 40;
constexpr double kTolerance = 1e-9;  // of this file's own sums

struct Wander {
  int64_t d, k, m;
  double step, stride;  // of most centroids and of runners in a pass
  uint64_t seed;
  bool filtered = false;  // by the first two coordinates
};

constexpr int64_t kDirections = 2;
constexpr double kHeadError = 1e-5;

// What the filter sees of rows.
struct Heads {
  bool measure(const Backend& backend, const std::vector<float>& rows, int64_t d) {
    const int64_t n = static_cast<int64_t>(rows.size()) / d;
    std::vector<float> mean(static_cast<size_t>(d), 0.25f), directions(static_cast<size_t>(kDirections * d), 0.0f);
    for (int64_t j = 0; j < kDirections; ++j) directions[static_cast<size_t>(j * d + j)] = 1;
    heads.resize(static_cast<size_t>(n * (kDirections + 1)));
    spreads.resize(static_cast<size_t>(n));
    const ms_filter_heads_args args{n, d, kDirections, rows.data(), mean.data(), directions.data(), kHeadError, heads.data(), nullptr, spreads.data()};
    return backend.table().filter_heads(backend.context(), &args) == MS_OK;
  }
  std::vector<float> heads;
  std::vector<double> spreads;
};

class Passes {
 public:
  explicit Passes(const Wander& wander) : w_(wander), stream_(wander.seed, 13) {
    const auto sized = [](int64_t count) { return static_cast<size_t>(count); };
    for (int64_t i = 0; i < kRows * w_.d; ++i) x_.push_back(static_cast<float>(stream_.normal()));
    for (int64_t i = 0; i < w_.k * w_.d; ++i) centroids_.push_back(stream_.normal());
    for (int64_t i = 0; i < kRows; ++i) {
      double square = 0;
      for (int64_t p = 0; p < w_.d; ++p) square += std::pow(static_cast<double>(x_[sized(i * w_.d + p)]), 2);
      squares_.push_back(square);
    }
    longest_ = 40 * std::sqrt(static_cast<double>(w_.d));
    moved_.resize(sized(w_.k));
    labels_.assign(sized(kRows), -1);
    for (auto* bounds : {&upper_, &lower_, &gap_}) bounds->resize(sized(kRows));
    near_.resize(sized(std::max<int64_t>(kRows * w_.m, 1)));
    near_lower_.resize(near_.size());
    runner_lower_.assign(sized(kRows * kMostRunning), 1e9f);  // of nobody: who joins must be given one
  }

  // One pass; false when the operation fails.
  bool run(const Backend& backend) {
    ++pass_;
    const double all_before = all_moved_;
    running_before_ = static_cast<int64_t>(runners_.size());
    std::vector<double> joined(runners_.size(), 0.0);
    if (pass_ % 7 == 3 && running_before_ < kMostRunning) {
      int32_t j = static_cast<int32_t>(stream_.below(static_cast<uint32_t>(w_.k)));
      while (std::find(runners_.begin(), runners_.end(), j) != runners_.end()) j = (j + 1) % static_cast<int32_t>(w_.k);
      runners_.push_back(j);
      joined.push_back(moved_[static_cast<size_t>(j)] - all_before);
    }
    if (pass_ > 1) move();
    std::vector<float> rounded(centroids_.begin(), centroids_.end()), norms;
    double c_length = 0;
    for (int64_t j = 0; j < w_.k; ++j) {
      float norm = 0;
      for (int64_t p = 0; p < w_.d; ++p) norm = std::fma(rounded[static_cast<size_t>(j * w_.d + p)], rounded[static_cast<size_t>(j * w_.d + p)], norm);
      norms.push_back(norm);
      c_length = std::max(c_length, std::sqrt(static_cast<double>(norm)) * (1 + 1e-3));
    }
    const int64_t running = static_cast<int64_t>(runners_.size());
    std::vector<float> apart;
    for (int64_t j = 0; j < w_.k; ++j) {
      for (const int32_t q : runners_) apart.push_back(j == q ? std::numeric_limits<float>::infinity() : static_cast<float>(between(j, q) * (1 - 1e-6)));
    }
    int64_t evaluated[4] = {0, 0, 0, 0};
    ms_nearest_bounded_args args{};
    args.n = kRows, args.k = w_.k, args.d = w_.d, args.m = w_.m;
    args.x = x_.data(), args.squares = squares_.data(), args.centres = rounded.data(), args.c_norms = norms.data(), args.centroids = centroids_.data();
    args.c_length = c_length, args.x_length = longest_, args.longest = longest_;
    args.known = pass_ > 1 ? 1 : 0;
    args.moved = moved_.data(), args.all_moved = all_moved_;
    args.running = running, args.most_running = kMostRunning, args.running_before = running_before_;
    args.runners = runners_.data(), args.joined = joined.data(), args.apart = apart.data();
    args.labels = labels_.data(), args.upper = upper_.data(), args.lower = lower_.data(), args.gap = gap_.data();
    args.near = near_.data(), args.near_lower = near_lower_.data(), args.runner_lower = runner_lower_.data();
    args.evaluated = evaluated;
    Heads of_rows, of_centroids;
    std::vector<float> c_spreads;
    if (w_.filtered) {
      if (!of_rows.measure(backend, x_, w_.d) || !of_centroids.measure(backend, rounded, w_.d)) return false;
      c_spreads.assign(of_centroids.spreads.begin(), of_centroids.spreads.end());
      args.r = kDirections, args.head_error = kHeadError, args.stretch = 0.2;
      args.heads = of_rows.heads.data(), args.spreads = of_rows.spreads.data();
      args.c_heads = of_centroids.heads.data(), args.c_squares = c_spreads.data();
      args.c_spread = std::sqrt(*std::max_element(of_centroids.spreads.begin(), of_centroids.spreads.end())) * (1 + 1e-9);
    }
    const std::vector<int32_t> before = labels_;
    const bool done = backend.table().nearest_bounded(backend.context(), &args) == MS_OK;
    compared_ += evaluated[1] + evaluated[2] + evaluated[3];
    for (size_t i = 0; i < before.size() && pass_ > 1; ++i) changed_ += before[i] != labels_[i];
    return done;
  }

  // Rows of which something that is kept is no bound, or whose label is not the nearest.
  int64_t wrong() const {
    int64_t count = 0;
    for (int64_t i = 0; i < kRows; ++i) count += !holds(i);
    return count;
  }
  double share() const { return static_cast<double>(compared_) / static_cast<double>(kRows * w_.k * pass_); }
  int64_t changed() const { return changed_; }

 private:
  void move() {
    for (int64_t j = 0; j < w_.k; ++j) {
      const bool runs = std::find(runners_.begin(), runners_.end(), static_cast<int32_t>(j)) != runners_.end();
      // some stay where they are; a centroid that strays too far turns home
      const double length = j % 3 == 0 && !runs ? 0 : (runs ? w_.stride : w_.step) * stream_.uniform();
      double square = 0, away = 0;
      for (int64_t p = 0; p < w_.d; ++p) away += std::pow(centroids_[static_cast<size_t>(j * w_.d + p)], 2);
      for (int64_t p = 0; p < w_.d; ++p) {
        double& c = centroids_[static_cast<size_t>(j * w_.d + p)];
        const double step = away > 3 * static_cast<double>(w_.d) ? -c * length / std::sqrt(away) : length * stream_.normal() / std::sqrt(static_cast<double>(w_.d));
        c += step;
        square += step * step;
      }
      const double moved = std::sqrt(square) * (1 + 1e-9);
      moved_[static_cast<size_t>(j)] += moved;
      if (!runs) farthest_ = std::max(farthest_, moved);
    }
    all_moved_ += farthest_;
    farthest_ = 0;
  }

  double between(int64_t a, int64_t b) const {
    double square = 0;
    for (int64_t p = 0; p < w_.d; ++p) square += std::pow(centroids_[static_cast<size_t>(a * w_.d + p)] - centroids_[static_cast<size_t>(b * w_.d + p)], 2);
    return std::sqrt(square);
  }

  double distance(int64_t row, int64_t j) const {
    double square = 0;
    for (int64_t p = 0; p < w_.d; ++p) square += std::pow(static_cast<double>(x_[static_cast<size_t>(row * w_.d + p)]) - centroids_[static_cast<size_t>(j * w_.d + p)], 2);
    return std::sqrt(square);
  }

  bool holds(int64_t row) const {
    const size_t i = static_cast<size_t>(row);
    const int32_t label = labels_[i];
    const double own = distance(row, label);
    for (int32_t j = 0; j < w_.k; ++j) {
      const double other = distance(row, j);
      if (other < own - kTolerance) return false;
      if (lower_[i] == -std::numeric_limits<float>::infinity() || j == label) continue;  // nothing is known
      const auto runner = std::find(runners_.begin(), runners_.end(), j);
      const auto first = near_.begin() + static_cast<ptrdiff_t>(row * w_.m), last = first + static_cast<ptrdiff_t>(w_.m), place = std::find(first, last, j);
      const double moved = moved_[static_cast<size_t>(j)];
      double bound = static_cast<double>(lower_[i]) - all_moved_;
      if (runner != runners_.end()) bound = static_cast<double>(runner_lower_[i * kMostRunning + static_cast<size_t>(runner - runners_.begin())]) - moved;
      else if (place != last) bound = static_cast<double>(near_lower_[static_cast<size_t>(place - near_.begin())]) - moved;
      if (bound > other + kTolerance) return false;
      if (runner == runners_.end() && static_cast<double>(gap_[i]) - all_moved_ - moved_[static_cast<size_t>(label)] > other - own + kTolerance) return false;
    }
    return lower_[i] == -std::numeric_limits<float>::infinity() || static_cast<double>(upper_[i]) + moved_[static_cast<size_t>(label)] >= own - kTolerance;
  }

  const Wander w_;
  RandomStream stream_;
  std::vector<float> x_, upper_, lower_, gap_, near_lower_, runner_lower_;
  std::vector<double> centroids_, squares_, moved_;
  std::vector<int32_t> labels_, near_, runners_;
  double longest_ = 0, all_moved_ = 0, farthest_ = 0;
  int64_t pass_ = 0, running_before_ = 0, compared_ = 0, changed_ = 0;
};

void wander(const Wander& how) {
  std::shared_ptr<Backend> backend;
  CHECK(Backend::open("cpu", 2, &backend).ok());
  if (backend == nullptr) return;
  Passes passes(how);
  for (int64_t pass = 0; pass < kPasses; ++pass) {
    CHECK(passes.run(*backend));
    const int64_t wrong = passes.wrong();
    CHECK(wrong == 0);
    if (wrong != 0) {
      std::printf("d %d, k %d, m %d, seed %d, pass %d: %d rows\n", static_cast<int>(how.d), static_cast<int>(how.k), static_cast<int>(how.m), static_cast<int>(how.seed),
                  static_cast<int>(pass), static_cast<int>(wrong));
      return;
    }
  }
  CHECK(passes.changed() > 0 && passes.share() < 0.8);
}

}  // namespace

int main() {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const double stride = seed % 2 == 0 ? 0.6 : 3;
    for (const int64_t d : {2, 5, 33}) {
      wander({d, 40, 4, 0.02, stride, seed});
      wander({d, 12, 1, 0.04, stride, seed});
      wander({d, 40, 3, 0.02, stride, seed, true});
    }
    wander({2, 9, 0, 0.02, stride / 4, seed});
  }
  return test::finish();
}
