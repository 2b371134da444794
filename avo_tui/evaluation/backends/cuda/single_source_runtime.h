// ---- what every launch below needs

#define AVO_TRY(call)                                  \
    do {                                               \
        const cudaError_t error_ = (call);             \
        if (error_ != cudaSuccess) return error_;      \
    } while (0)

namespace {

typedef CUresult (*EncodeTiled)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*,
                                const cuuint64_t*, const cuuint64_t*, const cuuint32_t*,
                                const cuuint32_t*, CUtensorMapInterleave, CUtensorMapSwizzle,
                                CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

// The driver's function, looked up through the runtime so that nothing has to link libcuda.
[[maybe_unused]] inline EncodeTiled encode_tiled() {
    static const EncodeTiled function = [] {
        void* found = nullptr;
        cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                         cudaEnableDefault, &result);
#else
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &result);
#endif
        return reinterpret_cast<EncodeTiled>(found);
    }();
    return function;
}

struct MapShape {
    CUtensorMapDataType type;
    cuuint32_t rank;
    cuuint64_t extents[5];  // elements, innermost first
    cuuint64_t strides[5];  // bytes, of every dimension but the innermost
    cuuint32_t box[5];
    cuuint32_t steps[5];
    CUtensorMapSwizzle swizzle;
    CUtensorMapL2promotion promotion;
    CUtensorMapFloatOOBfill fill;
};

[[maybe_unused]] inline cudaError_t encode(CUtensorMap* map, const void* address, const MapShape& s) {
    const EncodeTiled function = encode_tiled();
    if (function == nullptr) return cudaErrorNotSupported;
    const CUresult result = function(
        map, s.type, s.rank, const_cast<void*>(address), s.extents, s.strides, s.box, s.steps,
        CU_TENSOR_MAP_INTERLEAVE_NONE, s.swizzle, s.promotion, s.fill);
    return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

struct LaunchShape {
    dim3 grid, block, cluster;  // cluster.x is 0 where there is none
    unsigned shared_memory;     // bytes
    bool cooperative, programmatic;
};

[[maybe_unused]] inline cudaError_t launch(const void* kernel, const LaunchShape& s, void** arguments,
                          cudaStream_t stream) {
    if (s.shared_memory > 0)
        AVO_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                     static_cast<int>(s.shared_memory)));
    cudaLaunchAttribute attributes[3];
    unsigned count = 0;
    if (s.cluster.x > 0) {
        if (s.cluster.x * s.cluster.y * s.cluster.z > 8)
            AVO_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
        attributes[count].id = cudaLaunchAttributeClusterDimension;
        attributes[count].val.clusterDim.x = s.cluster.x;
        attributes[count].val.clusterDim.y = s.cluster.y;
        attributes[count++].val.clusterDim.z = s.cluster.z;
    }
    if (s.cooperative) {
        attributes[count].id = cudaLaunchAttributeCooperative;
        attributes[count++].val.cooperative = 1;
    }
    if (s.programmatic) {
        attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[count++].val.programmaticStreamSerializationAllowed = 1;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = s.grid;
    config.blockDim = s.block;
    config.dynamicSmemBytes = s.shared_memory;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = count;
    return cudaLaunchKernelExC(&config, kernel, arguments);
}

// The grids below were computed for one kind of device; on another they would be wrong or slow.
[[maybe_unused]] inline cudaError_t right_device(int major, int minor, int multiprocessors) {
    int device, found;
    AVO_TRY(cudaGetDevice(&device));
    AVO_TRY(cudaDeviceGetAttribute(&found, cudaDevAttrComputeCapabilityMajor, device));
    if (found != major) return cudaErrorInvalidDevice;
    AVO_TRY(cudaDeviceGetAttribute(&found, cudaDevAttrComputeCapabilityMinor, device));
    if (found != minor) return cudaErrorInvalidDevice;
    AVO_TRY(cudaDeviceGetAttribute(&found, cudaDevAttrMultiProcessorCount, device));
    return found == multiprocessors ? cudaSuccess : cudaErrorInvalidDevice;
}

[[maybe_unused]] inline bool misaligned(const void* pointer) {
    return pointer == nullptr || reinterpret_cast<uintptr_t>(pointer) % 256 != 0;
}

[[maybe_unused]] inline char* at(const void* pointer, size_t bytes) {
    return const_cast<char*>(static_cast<const char*>(pointer)) + bytes;
}

}  // namespace
