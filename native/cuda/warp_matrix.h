// Warp-wide matrix instructions, asynchronous copies to shared memory, and the roundings that go with them. On devices without an
// instruction (sm_75: no asynchronous copy, no bfloat16 or TF32 product) the copy is an ordinary one and the product must not be called.
#pragma once

#include "cuda/device.h"

namespace mendset::cuda {

// Round to nearest even; NaN stays NaN.
__device__ __forceinline__ uint16_t to_bf16(float value) {
#if defined(__CUDACC__)
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
  const unsigned bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}
__device__ __forceinline__ float from_bf16(uint16_t bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
// Two values in a register, the first in the low half.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
  return static_cast<unsigned>(to_bf16(low)) | static_cast<unsigned>(to_bf16(high)) << 16;
}

// Round to nearest, ties away from zero, 10 bits of fraction.
__device__ __forceinline__ float to_tf32(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return __uint_as_float(bits);
#else
  const unsigned bits = __float_as_uint(value);
  if ((bits & 0x7f800000u) == 0x7f800000u) return value;
  return __uint_as_float((bits + 0x1000u) & ~0x1fffu);
#endif
}

#if defined(__CUDACC__)
__device__ __forceinline__ unsigned shared_address(const void* pointer) { return static_cast<unsigned>(__cvta_generic_to_shared(pointer)); }
#endif

// 16 bytes, or 4, from global to shared memory; the bytes from source_bytes on become zero.
__device__ __forceinline__ void copy_async_16(void* destination, const void* source, int source_bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(destination)), "l"(source), "r"(source_bytes) : "memory");
#elif defined(__CUDACC__)
  uint4 value = make_uint4(0, 0, 0, 0);
  if (source_bytes == 16) value = *static_cast<const uint4*>(source);
  *static_cast<uint4*>(destination) = value;
#else
  cuda_emulation::copy_later(destination, source, 16, static_cast<size_t>(source_bytes));
#endif
}
__device__ __forceinline__ void copy_async_4(void* destination, const void* source, int source_bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(destination)), "l"(source), "r"(source_bytes) : "memory");
#elif defined(__CUDACC__)
  *static_cast<unsigned*>(destination) = source_bytes == 4 ? *static_cast<const unsigned*>(source) : 0u;
#else
  cuda_emulation::copy_later(destination, source, 4, static_cast<size_t>(source_bytes));
#endif
}
__device__ __forceinline__ void commit_async() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#elif !defined(__CUDACC__)
  cuda_emulation::commit_copies();
#endif
}
template <int kGroupsLeft>
__device__ __forceinline__ void wait_async() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
#elif !defined(__CUDACC__)
  cuda_emulation::wait_copies(kGroupsLeft);
#endif
}

// Four matrices of 8 rows x 16 bytes: lane l gives the address of row l % 8 of matrix l / 8. Register i of lane l receives bytes
// 4 (l % 4) .. + 3 of row l / 4 of matrix i.
__device__ __forceinline__ void load_matrices(unsigned (&registers)[4], const void* row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row)) : "memory");
#else
  unsigned char* const slots = cuda_emulation::begin_exchange();
  const unsigned self = threadIdx.x % 32;
  std::memcpy(slots + self * cuda_emulation::kSlotBytes, &row, sizeof row);
  cuda_emulation::warp_barrier();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned char* source;
    std::memcpy(&source, slots + (i * 8 + self / 4) * cuda_emulation::kSlotBytes, sizeof source);
    std::memcpy(&registers[i], source + self % 4 * 4, 4);
  }
#endif
}
// The same for 8 x 8 matrices of 16-bit elements, each transposed: lane l receives elements (row 2 (l % 4), + 1; column l / 4).
__device__ __forceinline__ void load_matrices_transposed(unsigned (&registers)[4], const void* row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(shared_address(row)) : "memory");
#else
  unsigned char* const slots = cuda_emulation::begin_exchange();
  const unsigned self = threadIdx.x % 32;
  std::memcpy(slots + self * cuda_emulation::kSlotBytes, &row, sizeof row);
  cuda_emulation::warp_barrier();
  for (unsigned i = 0; i < 4; ++i) {
    unsigned value = 0;
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned char* source;
      std::memcpy(&source, slots + (i * 8 + self % 4 * 2 + half) * cuda_emulation::kSlotBytes, sizeof source);
      uint16_t element;
      std::memcpy(&element, source + self / 4 * 2, 2);
      value |= static_cast<unsigned>(element) << (16 * half);
    }
    registers[i] = value;
  }
#endif
}

#if !defined(__CUDACC__)
// What one lane of a product of 16 x K by K x 8 gets, from the fragments of all lanes. `element(register, part)` decodes a value.
template <int kParts, typename Decode>
inline void emulate_product(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], Decode decode) {
  unsigned char* const slots = cuda_emulation::begin_exchange();
  const unsigned self = threadIdx.x % 32;
  std::memcpy(slots + self * cuda_emulation::kSlotBytes, a, sizeof a);
  std::memcpy(slots + self * cuda_emulation::kSlotBytes + sizeof a, b, sizeof b);
  cuda_emulation::warp_barrier();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = self / 4 + i / 2 * 8, column = self % 4 * 2 + i % 2;
    double total = static_cast<double>(sum[i]);
    for (unsigned k = 0; k < 8 * kParts; ++k) {
      const unsigned within = k % (4 * kParts), lane = within / kParts, part = within % kParts;
      unsigned left[4], right[2];
      std::memcpy(left, slots + (row % 8 * 4 + lane) * cuda_emulation::kSlotBytes, sizeof left);
      std::memcpy(right, slots + (column * 4 + lane) * cuda_emulation::kSlotBytes + sizeof left, sizeof right);
      total += static_cast<double>(decode(left[row / 8 + 2 * (k / (4 * kParts))], part)) * static_cast<double>(decode(right[k / (4 * kParts)], part));
    }
    sum[i] = static_cast<float>(total);
  }
}
#endif

// sum += A B: A 16 x 16 and B 16 x 8 in bfloat16. Lane l: sum[i] is row l / 4 + 8 (i / 2), column 2 (l % 4) + i % 2.
__device__ __forceinline__ void multiply_bf16(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  emulate_product<2>(sum, a, b, [](unsigned bits, unsigned part) { return from_bf16(static_cast<uint16_t>(bits >> (16 * part))); });
#endif
}
// sum += A B: A 16 x 8 and B 8 x 8 in TF32.
__device__ __forceinline__ void multiply_tf32(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif !defined(__CUDACC__)
  emulate_product<1>(sum, a, b, [](unsigned bits, unsigned) { return __uint_as_float(bits & ~0x1fffu); });
#endif
}

}  // namespace mendset::cuda
