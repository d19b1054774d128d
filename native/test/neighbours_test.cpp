// Nearest rows, facility location and permutation prefixes against plain loops, ties included.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/random.h"
#include "select/facility_location.h"
#include "select/neighbours.h"
#include "test/check.h"

using namespace mendset;

namespace {

std::shared_ptr<Backend> open(const char* name, int threads) {
  std::shared_ptr<Backend> backend;
  CHECK(Backend::open(name, threads, &backend).ok());
  return backend;
}

std::vector<float> rows(int64_t n, int64_t d, int kind, uint64_t seed) {
  RandomStream stream(seed, 10);
  std::vector<float> x(static_cast<size_t>(n * d));
  for (float& value : x) value = kind == 0 ? static_cast<float>(stream.normal()) : static_cast<float>(stream.below(3)) * (kind == 1 ? 1.0f : kind == 2 ? 1e-15f : 1e15f);
  return x;
}

// Small integers are exact in every form of the distance.
void neighbours() {
  for (int kind = 0; kind < 4; ++kind) {
    for (const Metric metric : {Metric::euclidean, Metric::cosine}) {
      constexpr int64_t n = 1700, d = 5;
      const std::vector<float> data = rows(n, d, kind, 3);
      const MatrixView x{data.data(), n, d};
      for (const int64_t k : {int64_t{1}, int64_t{7}}) {
        NeighbourResult first;
        for (const char* backend : {"plain", "cpu"}) {
          for (const double budget : {1e30, 0.001}) {
            std::unique_ptr<NearestNeighbours> task;
            CHECK(NearestNeighbours::create(open(backend, 3), x, {k, metric}, &task).ok());
            while (!task->progress().finished) {
              const Status status = task->step(Deadline::after_ms(budget));
              CHECK(status.ok());
              if (!status.ok()) return;
            }
            if (first.indices.empty()) first = task->result();
            CHECK(task->result().indices == first.indices && task->result().distances == first.distances);
          }
        }
        if (metric == Metric::cosine || kind == 0) continue;
        for (int64_t i = 0; i < n; i += 97) {
          std::vector<std::pair<double, int32_t>> all;
          for (int64_t j = 0; j < n; ++j) {
            double square = 0;
            for (int64_t p = 0; p < d; ++p) square += std::pow(std::round(static_cast<double>(x.row(i)[p] - x.row(j)[p]) / static_cast<double>(kind == 1 ? 1.0f : kind == 2 ? 1e-15f : 1e15f)), 2);
            if (i != j) all.emplace_back(square, static_cast<int32_t>(j));
          }
          std::sort(all.begin(), all.end());
          for (int64_t q = 0; q < k; ++q) {
            if (kind == 1) CHECK(first.indices[static_cast<size_t>(i * k + q)] == all[static_cast<size_t>(q)].second);
          }
        }
      }
    }
  }
  // Rows of length 0 are 1 away from every row, each other included, so that they come after whatever points the same way at all.
  const std::vector<float> zeros{0, 0, 1, 0, 0, 0, 1, 1, -1, 0};
  for (const char* backend : {"plain", "cpu"}) {
    std::unique_ptr<NearestNeighbours> around;
    CHECK(NearestNeighbours::create(open(backend, 1), {zeros.data(), 5, 2}, {4, Metric::cosine}, &around).ok() && around->run().ok());
    const NeighbourResult& got = around->result();
    for (size_t q = 0; q < 4; ++q) CHECK(std::abs(got.distances[q] - 1) < 1e-6f && std::abs(got.distances[8 + q] - 1) < 1e-6f);
    CHECK((std::vector<int32_t>(got.indices.begin() + 4, got.indices.begin() + 8) == std::vector<int32_t>{3, 0, 2, 4}));
    CHECK(got.distances[5] == 1 && got.distances[6] == 1 && got.distances[7] == 2);
  }
  const std::vector<float> data = rows(4, 2, 0, 1);
  std::unique_ptr<NearestNeighbours> task;
  CHECK(NearestNeighbours::create(open("plain", 1), {data.data(), 4, 2}, {4, Metric::cosine}, &task).code() == Code::invalid_argument);
  CHECK(NearestNeighbours::create(open("plain", 1), {data.data(), 4, 2}, {0, Metric::cosine}, &task).code() == Code::invalid_argument);
}

void facilities() {
  for (int kind = 0; kind < 4; ++kind) {
    for (const Metric metric : {Metric::cosine, Metric::euclidean}) {
      constexpr int64_t n = 300, d = 4;
      const std::vector<float> data = rows(n, d, kind, 8);
      FacilityLocationResult first;
      for (const bool lazy : {false, true}) {
        for (const char* backend : {"plain", "cpu"}) {
          std::unique_ptr<FacilityLocation> task;
          CHECK(FacilityLocation::create(open(backend, 2), {data.data(), n, d}, {60, metric, lazy}, &task).ok());
          CHECK(task->run().ok());
          if (first.order.empty()) first = task->result();
          CHECK(task->result().order == first.order && task->result().gains == first.gains);
          if (lazy) CHECK(task->result().evaluations <= first.evaluations);
          for (size_t i = 1; i < 60; ++i) CHECK(task->result().gains[i] <= task->result().gains[i - 1]);
        }
      }
    }
  }
  // Three equal rows and one apart: the first row of the majority, then the other.
  const std::vector<float> data{1, 0, 1, 0, 1, 0, 0, 1};
  for (const Metric metric : {Metric::cosine, Metric::euclidean}) {
    std::unique_ptr<FacilityLocation> task;
    CHECK(FacilityLocation::create(open("cpu", 1), {data.data(), 4, 2}, {4, metric, true}, &task).ok() && task->run().ok());
    CHECK((task->result().order == std::vector<int64_t>{0, 3, 1, 2}));
  }
  std::unique_ptr<FacilityLocation> task;
  CHECK(FacilityLocation::create(open("cpu", 1), {data.data(), 4, 2}, {5, Metric::cosine, true}, &task).code() == Code::invalid_argument);
}

}  // namespace

int main() {
  neighbours();
  facilities();
  return test::finish();
}
