// k-means and PCA: published vectors, a straightforward second implementation, ties, threads and step budgets.
#include <algorithm>
#include <limits>
#include <vector>

#include "select/k_means.h"
#include "select/pca.h"
#include "select/symmetric_eigen.h"
#include "test/check.h"
#include "test/select_tasks.h"

using namespace mendset;
using namespace mendset::test;

namespace {

Status k_means(const Setting& setting, MatrixView x, const KMeansOptions& options, const double* given, KMeansResult* out) {
  std::unique_ptr<KMeans> task;
  MS_TRY(KMeans::create(open(setting.backend, setting.threads), x, options, given, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  *out = task->result();
  return {};
}

Status pca(const Setting& setting, MatrixView x, const PcaOptions& options, PcaResult* out) {
  std::unique_ptr<Pca> task;
  MS_TRY(Pca::create(open(setting.backend, setting.threads), x, options, &task));
  MS_TRY(drive(*task, setting.budget_ms));
  *out = task->result();
  return {};
}

// Lloyd from given centroids, written without chunks, buffers or shortcuts (no empty clusters).
struct ReferenceMeans {
  std::vector<int32_t> labels;
  std::vector<double> centroids;
  int64_t iterations = 0;
};
ReferenceMeans reference_k_means(MatrixView x, int64_t k, int64_t max_iterations, std::vector<double> centroids) {
  ReferenceMeans out;
  std::vector<int32_t> previous;
  for (;;) {
    std::vector<float> c(centroids.begin(), centroids.end());
    out.labels.assign(static_cast<size_t>(x.n), 0);
    for (int64_t i = 0; i < x.n; ++i) {
      float best = std::numeric_limits<float>::infinity();
      for (int64_t j = 0; j < k; ++j) {
        const float* centre = c.data() + j * x.d;
        const float v = std::fma(-2.0f, chain(x.row(i), centre, x.d), chain(centre, centre, x.d));
        if (v < best) {
          best = v;
          out.labels[static_cast<size_t>(i)] = static_cast<int32_t>(j);
        }
      }
    }
    if (out.labels == previous || out.iterations == max_iterations) break;
    std::fill(centroids.begin(), centroids.end(), 0.0);
    std::vector<double> counts(static_cast<size_t>(k), 0.0);
    for (int64_t i = 0; i < x.n; ++i) {
      const size_t label = static_cast<size_t>(out.labels[static_cast<size_t>(i)]);
      counts[label] += 1;
      for (int64_t p = 0; p < x.d; ++p)
        centroids[label * static_cast<size_t>(x.d) + static_cast<size_t>(p)] += static_cast<double>(x.row(i)[p]);
    }
    for (size_t i = 0; i < centroids.size(); ++i) centroids[i] /= counts[i / static_cast<size_t>(x.d)];
    previous = out.labels;
    ++out.iterations;
  }
  out.centroids = centroids;
  return out;
}

void test_k_means_against_reference() {
  constexpr int64_t n = 3001, d = 17, k = 7;
  const std::vector<float> data = gaussian(n, d, 5);
  const MatrixView x{data.data(), n, d};
  std::vector<double> start(data.begin(), data.begin() + k * d);
  for (int64_t iterations : {int64_t{0}, int64_t{1}, int64_t{10}, int64_t{300}}) {
    const ReferenceMeans expected = reference_k_means(x, k, iterations, start);
    for (const char* backend : {"plain", "cpu"}) {
      KMeansResult got;
      const Status status = k_means({backend, 2, kForever}, x, {k, iterations, 4, 0}, start.data(), &got);
      CHECK(status.ok());
      if (!status.ok()) continue;
      CHECK(got.iterations == expected.iterations);
      CHECK(got.inertia_per_iteration.size() == static_cast<size_t>(got.iterations + 1));
      CHECK(near(got.inertia_per_iteration.back(), got.inertia, 0, 1e-10));
      // Same partition; the numbering is by descending size, then lowest member.
      std::vector<int32_t> number(k, -1);
      bool consistent = true;
      for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
        int32_t& mapped = number[static_cast<size_t>(expected.labels[i])];
        if (mapped < 0) mapped = got.labels[i];
        consistent = consistent && mapped == got.labels[i];
      }
      CHECK(consistent);
      for (size_t j = 1; j < k; ++j) CHECK(got.sizes[j - 1] >= got.sizes[j]);
      double worst = 0;
      for (size_t i = 0; i < expected.centroids.size(); ++i) {
        const size_t j = static_cast<size_t>(number[i / d]);
        worst = std::max(worst, std::abs(expected.centroids[i] - got.centroids[j * d + i % d]));
      }
      CHECK(worst < 1e-12);
      bool ordered = true;
      for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
        ordered = ordered && got.second_labels[i] != got.labels[i] && got.own_distance[i] <= got.second_distance[i] * (1 + 1e-6);
      }
      CHECK(ordered);
    }
  }
}

void test_k_means_bits() {
  constexpr int64_t n = 5000, d = 33, k = 10;
  const std::vector<float> data = gaussian(n, d, 6);
  KMeansResult plain, cpu;
  for (const Setting& setting : kSettings) {
    KMeansResult got;
    CHECK(k_means(setting, {data.data(), n, d}, {k, 300, 3, 43}, nullptr, &got).ok());
    KMeansResult& first = std::strcmp(setting.backend, "plain") == 0 ? plain : cpu;
    if (first.k == 0) first = got;
    CHECK(same_bits(got.labels, first.labels) && same_bits(got.centroids, first.centroids) &&
          same_bits(got.own_distance, first.own_distance));
    CHECK(same_bits(got.inertia_per_iteration, first.inertia_per_iteration) && got.inertia == first.inertia &&
          got.restart == first.restart);
    CHECK(same_bits(got.second_labels, first.second_labels));
  }
  CHECK(same_bits(plain.labels, cpu.labels));
}

void test_k_means_degenerate() {
  for (const char* backend : {"plain", "cpu"}) {
    const Setting setting{backend, 1, kForever};
    KMeansResult got;
    // Five equal points, three clusters: no cluster stays empty, nothing is NaN.
    const std::vector<float> equal(10, 2.5f);
    CHECK(k_means(setting, {equal.data(), 5, 2}, {3, 300, 2, 1}, nullptr, &got).ok());
    CHECK(got.inertia == 0 && got.stop == KMeansStop::labels_stable);
    CHECK(std::count(got.sizes.begin(), got.sizes.end(), 0) == 0);
    // k = n on distinct points: singletons in index order.
    const std::vector<float> line{3, 1, 2, 0};
    CHECK(k_means(setting, {line.data(), 4, 1}, {4, 300, 1, 1}, nullptr, &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 1, 2, 3}) && got.inertia == 0);
    // k = 1
    CHECK(k_means(setting, {line.data(), 4, 1}, {1, 300, 1, 1}, nullptr, &got).ok());
    CHECK(got.centroids[0] == 1.5 && got.second_labels[0] == -1 && std::isinf(got.second_distance[0]));
    // A tie goes to the lowest centroid: 1 lies between 0 and 2.
    const std::vector<float> tied{0, 1, 2};
    const std::vector<double> start{0, 2};
    CHECK(k_means(setting, {tied.data(), 3, 1}, {2, 0, 1, 1}, start.data(), &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 0, 1}) && got.stop == KMeansStop::iteration_limit);
    // A starting centroid nobody is near takes the farthest point.
    const std::vector<double> far{0, 1000};
    CHECK(k_means(setting, {tied.data(), 3, 1}, {2, 300, 1, 1}, far.data(), &got).ok());
    CHECK((got.labels == std::vector<int32_t>{0, 0, 1}) && got.centroids[0] == 0.5 && got.centroids[1] == 2);

    std::vector<float> broken = line;
    broken[2] = std::nanf("");
    const Status status = k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got);
    CHECK(status.code() == Code::non_finite && status.message().find("row 1, column 0") != std::string::npos);
    broken[2] = std::numeric_limits<float>::infinity();
    CHECK(k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got).code() == Code::non_finite);
    broken[2] = 1e30f;
    CHECK(k_means(setting, {broken.data(), 2, 2}, {1, 300, 1, 1}, nullptr, &got).code() == Code::non_finite);
    CHECK(k_means(setting, {line.data(), 4, 1}, {5, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
    CHECK(k_means(setting, {line.data(), 4, 1}, {0, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
    CHECK(k_means(setting, {line.data(), 0, 1}, {1, 300, 1, 1}, nullptr, &got).code() == Code::invalid_argument);
  }
}

void test_pca() {
  // Two orthogonal directions of known variance in three dimensions, one constant column.
  const std::vector<float> cross{3, 0, 7, -3, 0, 7, 0, 1, 7, 0, -1, 7};
  PcaResult got;
  for (const char* backend : {"plain", "cpu"}) {
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0}, &got).ok());
    CHECK(got.components == 3 && near(got.variances[0], 6, 1e-12) && near(got.variances[1], 2.0 / 3, 1e-12) &&
          near(got.variances[2], 0, 1e-12));
    CHECK(near(got.directions[0], 1, 1e-12) && near(got.directions[4], 1, 1e-12) && got.mean[2] == 7);
    CHECK(near(static_cast<double>(got.projected[0]), 3, 1e-6) && near(static_cast<double>(got.projected[3 * 3 + 1]), -1, 1e-6));
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0.9}, &got).ok() && got.components == 1);
    CHECK(pca({backend, 1, kForever}, {cross.data(), 4, 3}, {50, 0.91}, &got).ok() && got.components == 2);
    CHECK(pca({backend, 1, kForever}, {cross.data(), 1, 3}, {50, 0}, &got).ok() && got.components == 1 &&
          got.total_variance == 0);
  }

  // Fewer rows than columns, down to duplicates of two: most eigenvalues are zero, and QL must still end.
  for (int64_t rows : {2, 20, 120, 191}) {
    std::vector<float> few = gaussian(rows, 192, static_cast<uint64_t>(rows));
    few.insert(few.end(), few.begin(), few.end());
    CHECK(pca({"cpu", 1, kForever}, {few.data(), 2 * rows, 192}, {50, 0}, &got).ok());
    double sum = 0;
    for (double variance : got.variances) sum += variance;
    if (rows <= 20) CHECK(near(sum, got.total_variance, 0, 1e-6));
  }

  constexpr int64_t n = 2500, d = 61;
  std::vector<float> data = gaussian(n, d, 9);
  for (size_t i = 0; i < data.size(); ++i) data[i] = data[i] * static_cast<float>(1 + i % d) + 3;
  PcaResult plain, cpu;
  for (const Setting& setting : kSettings) {
    CHECK(pca(setting, {data.data(), n, d}, {d, 0}, &got).ok());
    PcaResult& first = std::strcmp(setting.backend, "plain") == 0 ? plain : cpu;
    if (first.components == 0) first = got;
    CHECK(same_bits(got.directions, first.directions) && same_bits(got.projected, first.projected) &&
          same_bits(got.variances, first.variances));
  }
  CHECK(plain.components == d);
  double worst_product = 0, worst_residual = 0, sum = 0;
  for (int64_t a = 0; a < d; ++a) {
    sum += plain.variances[static_cast<size_t>(a)];
    const double* u = plain.directions.data() + a * d;
    double largest = 0;
    for (int64_t p = 0; p < d; ++p) {
      if (std::abs(u[p]) > std::abs(largest)) largest = u[p];
    }
    CHECK(largest > 0);
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t p = 0; p < d; ++p) product += u[p] * plain.directions[static_cast<size_t>(b * d + p)];
      worst_product = std::max(worst_product, std::abs(product - (a == b ? 1.0 : 0.0)));
    }
    // The variance of the projection is the eigenvalue.
    double square = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double y = static_cast<double>(plain.projected[static_cast<size_t>(i * d + a)]);
      square += y * y;
    }
    const double variance = plain.variances[static_cast<size_t>(a)];
    worst_residual = std::max(worst_residual, std::abs(square / (n - 1) - variance) / variance);
  }
  CHECK(worst_product < 1e-12);
  CHECK(worst_residual < 1e-5);
  CHECK(near(sum, plain.total_variance, 0, 1e-12));
  double worst_difference = 0;
  for (size_t i = 0; i < plain.directions.size(); ++i)
    worst_difference = std::max(worst_difference, std::abs(plain.directions[i] - cpu.directions[i]));
  CHECK(worst_difference < 1e-5);  // products of 128 rows are summed in fp32

  data[7 * d + 2] = std::nanf("");
  CHECK(pca(kSettings[0], {data.data(), n, d}, {50, 0}, &got).code() == Code::non_finite);
  CHECK(pca(kSettings[0], {cross.data(), 4, 3}, {0, 0}, &got).code() == Code::invalid_argument);
}

// A few leading vectors by inverse iteration against all of them by QL: the same values, the same subspaces, orthonormal, and A v = value v.
void test_leading_eigenvectors() {
  for (const int64_t n : {1, 2, 5, 40, 131}) {
    for (int kind = 0; kind < 6; ++kind) {
      const std::vector<float> values = gaussian(n, n, static_cast<uint64_t>(10 * n + kind));
      AlignedVector<double> a(static_cast<size_t>(n * n));
      const auto at = [&](int64_t i, int64_t j) -> double& { return a[static_cast<size_t>(i * n + j)]; };
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j <= i; ++j) {
          double value = static_cast<double>(values[static_cast<size_t>(i * n + j)]);
          if (kind == 1) value = i == j ? 1 : 0;                          // one eigenvalue
          if (kind == 2) value = 0;
          if (kind == 3) value = i == j ? static_cast<double>(i / 10) : 0;  // tens of equal ones
          if (kind == 4) value *= 1e-150;
          if (kind == 5) {  // rank 3
            value = 0;
            for (int64_t q = 0; q < std::min<int64_t>(3, n); ++q) value += static_cast<double>(values[static_cast<size_t>(q * n + i)]) * static_cast<double>(values[static_cast<size_t>(q * n + j)]);
          }
          at(i, j) = at(j, i) = value;
        }
      }
      const int64_t wanted = std::max<int64_t>(1, n / 4);
      SymmetricEigen leading(a, n, wanted), all(a, n, n);
      while (!leading.finished()) CHECK(leading.advance().ok());
      while (!all.finished()) CHECK(all.advance().ok());
      double scale = 1e-300;
      for (double value : all.values()) scale = std::max(scale, std::abs(value));
      for (int64_t r = 0; r < wanted; ++r) {
        const double* const v = leading.vectors().data() + r * n;
        CHECK(near(leading.values()[static_cast<size_t>(r)] / scale, all.values()[static_cast<size_t>(r)] / scale, 1e-12));
        for (int64_t q = 0; q <= r; ++q) {
          double product = 0;
          for (int64_t p = 0; p < n; ++p) product += v[p] * leading.vectors()[static_cast<size_t>(q * n + p)];
          CHECK(near(product, q == r ? 1 : 0, 1e-11));
        }
        double residual = 0;
        for (int64_t i = 0; i < n; ++i) {
          double image = 0;
          for (int64_t p = 0; p < n; ++p) image += at(i, p) * v[p];
          residual = std::max(residual, std::abs(image - all.values()[static_cast<size_t>(r)] * v[i]));
        }
        CHECK(residual <= 1e-11 * scale);
      }
    }
  }
}

// Wide rows of known low rank: the sketch finds the components that fp64 sums confirm.
void test_pca_wide() {
  constexpr int64_t n = 400, d = 2100, rank = 6;
  const std::vector<float> shares = gaussian(n, rank, 3), axes = gaussian(rank, d, 4), noise = gaussian(n, d, 5);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < d; ++p) {
      float value = 2 + 0.01f * noise[static_cast<size_t>(i * d + p)];
      for (int64_t j = 0; j < rank; ++j) value += shares[static_cast<size_t>(i * rank + j)] * axes[static_cast<size_t>(j * d + p)] / static_cast<float>(1 << j);
      x[static_cast<size_t>(i * d + p)] = value;
    }
  }
  PcaResult first, got;
  CHECK(pca({"cpu", 1, kForever}, {x.data(), n, d}, {rank, 0}, &first).ok() && first.components == rank);
  CHECK(pca({"cpu", 3, 0.001}, {x.data(), n, d}, {rank, 0}, &got).ok() && same_bits(got.directions, first.directions) && same_bits(got.projected, first.projected));
  double explained = 0;
  for (int64_t a = 0; a < rank; ++a) {
    explained += first.variances[static_cast<size_t>(a)];
    for (int64_t b = 0; b <= a; ++b) {
      double product = 0;
      for (int64_t p = 0; p < d; ++p) product += first.directions[static_cast<size_t>(a * d + p)] * first.directions[static_cast<size_t>(b * d + p)];
      CHECK(near(product, a == b ? 1 : 0, 1e-10));
    }
    double square = 0;  // the variance along the direction, from the rows
    for (int64_t i = 0; i < n; ++i) {
      double y = 0;
      for (int64_t p = 0; p < d; ++p) y += (static_cast<double>(x[static_cast<size_t>(i * d + p)]) - first.mean[static_cast<size_t>(p)]) * first.directions[static_cast<size_t>(a * d + p)];
      square += y * y;
    }
    CHECK(near(square / (n - 1), first.variances[static_cast<size_t>(a)], 0, 1e-5));
  }
  CHECK(explained / first.total_variance > 0.99 && explained <= first.total_variance);
  CHECK(pca({"cpu", 2, kForever}, {x.data(), n, d}, {rank, 0.5}, &got).ok() && got.components < rank);
}

}  // namespace

int main() {
  test_k_means_against_reference();
  test_k_means_bits();
  test_k_means_degenerate();
  test_pca();
  test_leading_eigenvectors();
  test_pca_wide();
  return test::finish();
}
