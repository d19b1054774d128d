// Lloyd's k-means on the operation table: greedy k-means++ or given start, restarts, exact ties.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/random.h"
#include "core/task.h"
#include "select/input_matrix.h"

namespace mendset {

struct KMeansOptions {
  int64_t k = 1;                 // 1 .. n
  int64_t max_iterations = 300;  // centroid updates; one more assignment pass follows
  int64_t restarts = 4;          // the least inertia wins, ties to the earlier restart; ignored with given centroids
  uint64_t seed = 0;             // stream 5, sub = restart
};

enum class KMeansStop { labels_stable, iteration_limit };

struct KMeansResult {
  int64_t k = 0, iterations = 0, restart = 0;
  KMeansStop stop = KMeansStop::labels_stable;
  double inertia = 0;                         // sum of own_distance^2
  std::vector<double> inertia_per_iteration;  // of every assignment pass of the winning restart: iterations + 1 values
  std::vector<double> centroids;              // [k, d], fp64 means, by descending size, then lowest member
  std::vector<int64_t> sizes;                 // [k]
  std::vector<int32_t> labels;                // [n]
  std::vector<double> own_distance;           // [n], Euclidean, fp64
  std::vector<int32_t> second_labels;         // [n], -1 when k = 1
  std::vector<double> second_distance;        // [n], infinity when k = 1
};

class KMeans final : public Task {
 public:
  // x and given_centroids ([k, d] fp64, nullable) are borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const KMeansOptions& options,
                       const double* given_centroids, std::unique_ptr<KMeans>* out);

  Status step(Deadline deadline) override;
  Progress progress() const override;
  const KMeansResult& result() const { return result_; }

 private:
  enum class Phase { allocate, check, seed, assign, distances, finished };
  struct Run {
    std::vector<double> centroids;  // [k, d]
    std::vector<int32_t> labels;    // [n]
    std::vector<double> inertia;
    int64_t iterations = 0, restart = 0;
    KMeansStop stop = KMeansStop::labels_stable;
  };

  KMeans() = default;
  Status allocate();
  Status advance();
  Status advance_check();
  Status begin_restart();
  Status advance_seed();
  Status choose_seed();
  Status begin_lloyd();
  Status upload_centroids(const std::vector<double>& centroids);
  Status advance_assign();
  Status finish_pass();
  void refill_empty_clusters();
  double inertia() const;
  Status finish_restart(KMeansStop stop);
  void renumber();
  Status advance_distances();

  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  KMeansOptions options_;
  const double* given_ = nullptr;

  Phase phase_ = Phase::allocate;
  int64_t row_ = 0;        // next row of the current pass
  int64_t rows_done_ = 0;  // over all passes, for progress
  int64_t restart_ = 0;
  double squares_ = 0;  // sum of x^2 over the matrix, fp64

  Buffer x_norms_, centres_, c_norms_, labels_, best_, second_, second_labels_;
  Buffer minimum_;             // k-means++: squared distance to the nearest centre, [n]
  std::vector<Buffer> trial_;  // the same with one candidate added, [candidates][n]
  Buffer sums_, counts_;       // of one chunk

  RandomStream stream_{0, 5};
  std::vector<int64_t> candidates_, seeds_;
  std::vector<double> potentials_, prefix_;
  std::vector<float> host_;  // [n] downloads
  std::vector<int32_t> previous_labels_;
  std::vector<double> total_sums_;     // [k, d]
  std::vector<int64_t> total_counts_;  // [k]
  Run run_, best_run_;
  KMeansResult result_;
};

}  // namespace mendset
