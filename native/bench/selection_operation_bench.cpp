// Time, GFLOP/s and GB/s of the operations that selection is made of, for every instruction set here, one JSON line each.
//   selection_operation_bench [--threads N] [--filter TEXT] [--plain]     --plain: the plain backend too (slow)
#include "bench/operation_timing.h"

using namespace mendset;
using namespace mendset::bench;

namespace {

void selection(const Bench& bench, int64_t n, int64_t d, int64_t k) {
  const std::vector<float> x = values(n * d, 1), centres = values(k * d, 2);
  std::vector<float> x_norms(static_cast<size_t>(n)), c_norms(static_cast<size_t>(k)), m(static_cast<size_t>(n), 1e30f), best(static_cast<size_t>(n));
  std::vector<int32_t> labels(static_cast<size_t>(n)), nearest(static_cast<size_t>(n));
  const std::string shape = text(" %ldx%ld k %ld", n, d, k);
  const double rows = static_cast<double>(n), width = static_cast<double>(d), bytes = 4.0 * rows * width, flops = 2.0 * rows * width * static_cast<double>(k);
  const ms_row_norms_args c_args{k, d, centres.data(), c_norms.data()}, x_args{n, d, x.data(), x_norms.data()};
  bench.table().row_norms(bench.context(), &c_args);
  bench.measure("row_norms" + shape, 0, bytes, [&] { bench.table().row_norms(bench.context(), &x_args); });
  const ms_nearest_centre_args nearest_args{n, k, d, x.data(), centres.data(), c_norms.data(), labels.data(), best.data(), nullptr, nullptr};
  bench.measure("nearest_centre" + shape, flops, bytes, [&] { bench.table().nearest_centre(bench.context(), &nearest_args); });
  bench.table().nearest_centre(bench.context(), &nearest_args);
  bench.table().row_norms(bench.context(), &x_args);
  for (const int64_t count : {int64_t{1}, std::min<int64_t>(k, 12)}) {
    const ms_min_distance_args args{n, d, count, x.data(), x_norms.data(), centres.data(), c_norms.data(), m.data(), 0, nearest.data()};
    bench.measure("min_distance" + shape + text(" centres %ld", count), 0, bytes, [&] { bench.table().min_distance(bench.context(), &args); });
  }
  std::vector<double> sums(static_cast<size_t>(k * d)), mean(static_cast<size_t>(d));
  std::vector<int64_t> counts(static_cast<size_t>(k));
  const ms_label_sums_args sums_args{n, k, d, x.data(), labels.data(), sums.data(), counts.data()};
  bench.measure("label_sums" + shape, 0, 2 * bytes, [&] { bench.table().label_sums(bench.context(), &sums_args); });
  const ms_column_means_args mean_args{n, d, x.data(), mean.data()};
  bench.measure("column_means" + shape, 0, bytes, [&] { bench.table().column_means(bench.context(), &mean_args); });
  const std::vector<uint8_t> taken(static_cast<size_t>(n));
  float value;
  int64_t index;
  const ms_argmax_args argmax_args{n, m.data(), taken.data(), &value, &index};
  bench.measure("argmax" + shape, 0, 5.0 * rows, [&] { bench.table().argmax(bench.context(), &argmax_args); });
}

void principal_components(const Bench& bench, int64_t n, int64_t d, int64_t r) {
  const std::vector<float> x = values(n * d, 1);
  const std::vector<double> mean(static_cast<size_t>(d), 0.01), components(static_cast<size_t>(r * d), 0.5);
  std::vector<double> covariance(static_cast<size_t>(d * d));
  std::vector<float> y(static_cast<size_t>(n * r));
  const std::string shape = text(" %ldx%ld", n, d);
  const double rows = static_cast<double>(n), width = static_cast<double>(d);
  const ms_covariance_args covariance_args{n, d, x.data(), mean.data(), covariance.data()};
  bench.measure("covariance" + shape, rows * width * width, 4.0 * rows * width, [&] { bench.table().covariance(bench.context(), &covariance_args); });
  const ms_project_args project_args{n, d, r, x.data(), mean.data(), components.data(), y.data()};
  bench.measure("project" + shape + text(" r %ld", r), 2 * rows * width * static_cast<double>(r), 4.0 * rows * width, [&] { bench.table().project(bench.context(), &project_args); });
}

void operations(const Bench& bench) {
  selection(bench, 20000, 384, 256);
  selection(bench, 20000, 50, 10);
  principal_components(bench, 20000, 384, 50);
}

}  // namespace

int main(int argc, char** argv) { return run(argc, argv, operations); }
