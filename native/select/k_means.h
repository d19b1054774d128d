// Lloyd's k-means on the operation table: greedy k-means++, k-means|| or given start, restarts, exact ties. A label is the nearest centroid by
// fp64 sums of squared differences; passes leave out centroids that are proven not to win (nearest_bounded), so labels are those of plain
// Lloyd whatever is left out.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "backend/host_algebra.h"
#include "core/random.h"
#include "core/task.h"
#include "select/input_matrix.h"
#include "select/k_means_assignment.h"

namespace mendset {

// greedy: k-means++ with 2 + floor(ln k) candidates per centre (Arthur and Vassilvitskii 2007). parallel: k-means|| (Bahmani et al. 2012),
// 5 rounds, oversampling 2 k, then weighted k-means++ on the candidates.
enum class KMeansStart { greedy, parallel };

struct KMeansOptions {
  int64_t k = 1;                 // 1 .. n
  int64_t max_iterations = 300;  // centroid updates; one more assignment pass follows
  int64_t restarts = 4;          // the least inertia wins, ties to the earlier restart; ignored with given centroids
  uint64_t seed = 0;             // stream 5, sub = restart
  KMeansStart start = KMeansStart::greedy;
  bool spherical = false;    // rows and centroids of length 1 (Dhillon and Modha 2001); rows of length 0 stay 0
  bool prune = true;         // false: every centre is compared with every row
  bool want_second = true;   // one more pass, over all centres
  bool renumber = true;      // by descending size; false: a cluster keeps the number of its start
};

inline constexpr int64_t kParallelRounds = 5;

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
  std::vector<int32_t> second_labels;         // [n], -1 when k = 1; empty unless wanted
  std::vector<double> second_distance;        // [n], infinity when k = 1; empty unless wanted
  int64_t refilled = 0;                       // empty clusters that took a row, over the winning restart
  // Over all restarts: pairs of a row and a centroid in all assignment passes, those that the filter looked at, and those whose distance was
  // computed.
  int64_t pairs = 0, filtered = 0, distances = 0;
};

class KMeans final : public Task {
 public:
  // x and given_centroids ([k, d] fp64, nullable) are borrowed until the task ends.
  static Status create(std::shared_ptr<Backend> backend, MatrixView x, const KMeansOptions& options,
                       const double* given_centroids, std::unique_ptr<KMeans>* out);

  // Candidates of the start, of several restarts, whose squared distances are kept for every row; those of one restart at least.
  static int64_t squares_at_once(int64_t d);

  Status step(Deadline deadline) override;
  Progress progress() const override;
  const KMeansResult& result() const { return result_; }
  KMeansResult take_result() { return std::move(result_); }

 private:
  enum class Phase { check, allocate, load, measure, prepare, seed, sample, weigh, assign, distances, finished };
  struct Run {
    std::vector<double> centroids;  // [k, d]
    std::vector<int32_t> labels;    // [n]
    std::vector<double> inertia;
    int64_t iterations = 0, restart = 0, refilled = 0;
    KMeansStop stop = KMeansStop::labels_stable;
  };

  // Greedy k-means++ of one restart.
  struct Start {
    RandomStream stream;
    std::vector<int64_t> seeds;
    std::vector<float> minimum;  // [n] squared distance to the nearest of them
  };

  KMeans() = default;
  Status allocate();
  Status advance();
  Status advance_check();
  Status advance_load();
  Status advance_measure();
  Status begin_restart();
  // Greedy k-means++ (k_means_start.cpp).
  Status allocate_start();
  Status begin_greedy();
  Status gather_candidates();
  Status advance_seed();
  Status choose_seeds();
  // k-means||
  Status begin_parallel();
  Status advance_sample();
  Status finish_round();
  Status weigh();

  Status begin_lloyd();
  Status begin_pass();
  Status upload_centroids(const std::vector<double>& centroids);
  Status upload_sums();
  int64_t assign_rows() const;
  Status advance_assign();
  Status finish_pass();
  Status refill_empty_clusters();
  double* host_sums();
  double inertia();
  Status finish_restart(KMeansStop stop);
  void renumber();
  Status advance_distances();
  void scale_centroids();
  Status label_squares(int64_t first, int64_t last, const double* centroids, const int32_t* labels, double* squares);

  const cpu::DenseKernels& algebra_ = host_algebra();
  std::shared_ptr<Backend> backend_;
  InputMatrix x_;
  KMeansOptions options_;
  const double* given_ = nullptr;

  Phase phase_ = Phase::check;
  int64_t row_ = 0;        // next row of the current pass
  int64_t rows_done_ = 0;  // over all passes, for progress
  int64_t restart_ = 0;
  float magnitude_ = 0;  // largest of the matrix
  double sum_of_squares_ = 0, x_length_ = 0;  // of the matrix; at least the length of every row
  double grid_ = 0;      // see ms_move_rows_args

  Buffer x_norms_, centres_, c_norms_, labels_, before_, second_labels_, fp64_centroids_, squares_, row_squares_;
  Buffer sums_, counts_;  // of the labels of the last pass
  std::unique_ptr<KMeansAssignment> assignment_;

  Buffer trial_;                                      // k-means++: squared distances to the candidates, [candidates, n]
  Buffer minimum_;                                    // k-means||: squared distance to the nearest candidate, [n]
  Buffer candidate_index_, candidate_x_, candidate_norms_;  // gathered candidates
  Buffer nearest_;                                    // k-means||: [n] number of the nearest candidate
  Buffer weighed_x_, weighed_norms_, weighed_minimum_;  // all its candidates
  std::vector<double> weights_;

  RandomStream stream_{0, 5};
  int64_t trials_ = 1, together_ = 1;  // candidates per centre; restarts that start side by side
  int64_t round_ = 0, applied_ = 0;
  std::vector<int64_t> candidates_;
  std::vector<Start> starts_;
  std::vector<std::vector<int64_t>> seeds_;  // by restart, k-means++ alone
  std::vector<double> block_sums_;  // of the squares of every candidate
  std::vector<float> host_;         // what a device's numbers are copied to
  std::vector<int32_t> host_labels_;
  std::vector<double> total_sums_;     // [k, d], where the device's memory is its own
  std::vector<int64_t> total_counts_;  // [k]
  Run run_, best_run_;
  KMeansResult result_;
};

}  // namespace mendset
