// What limits other people's software to an instruction set: BLAS kernels, and each package's own. What a peer used in the end stands in its
// own report ("kernels"): a package may know no such limit.
const AVX512 = 'AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR X86_V4';

const LIMITS = {
  avx2: {
    OPENBLAS_CORETYPE: 'Haswell',
    MKL_ENABLE_INSTRUCTIONS: 'AVX2',
    MKL_DEBUG_CPU_TYPE: '5',
    ONEDNN_MAX_CPU_ISA: 'AVX2',
    ATEN_CPU_CAPABILITY: 'avx2',
    FAISS_OPT_LEVEL: 'AVX2',
    FAISS_SIMD_LEVEL: 'AVX2',
    NPY_DISABLE_CPU_FEATURES: AVX512,
  },
};

/** The environment of a peer limited to `isa`; nothing for undefined. Ends the process with a sentence where the name is not known. */
export function peerLimits(isa) {
  if (isa === undefined) return {};
  if (isa in LIMITS) return LIMITS[isa];
  console.error(`Expected --peer-isa to be ${Object.keys(LIMITS).join(' or ')} but received "${isa}".`);
  process.exit(2);
}
