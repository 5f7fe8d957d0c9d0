// The CUDA runtime of a device whose kernels do nothing: memory, streams, events, copies and graphs are kept and counted.
#define _GNU_SOURCE
#include "device.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if CUDART_VERSION < 13000
#error "the null device has the functions of CUDA 13"
#endif

const char DEVICE_NAME[] = "null device (sm_90)";

// Contents of copies within the device and of fills matter only for small facts such as counters; longer ones
// would cost the host the time and the memory that a device has for them.
enum { LARGEST_REAL_FILL_BYTES = 1 << 16 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

// ---------------------------------------------------------------- counts

static struct counts *shared_counts;

static void open_counts(void) {
    // A file that is mapped is up to date at every moment, whatever way the program ends.
    const char *path = getenv("NULL_DEVICE_COUNTS");
    int file = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    int flags = MAP_SHARED | MAP_ANONYMOUS;
    if (file >= 0 && ftruncate(file, sizeof *shared_counts) == 0)
        flags = MAP_SHARED;
    void *mapped = mmap(NULL, sizeof *shared_counts, PROT_READ | PROT_WRITE, flags, flags & MAP_ANONYMOUS ? -1 : file, 0);
    if (file >= 0)
        close(file);
    if (mapped == MAP_FAILED) {
        perror("null device: counts");
        abort();
    }
    shared_counts = mapped;
}

struct counts *device_counts(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_counts);
    return shared_counts;
}

void *new_handle(void) {
    static uintptr_t last = 4096;
    return (void *)__atomic_add_fetch(&last, 16, __ATOMIC_RELAXED);
}

// ---------------------------------------------------------------- memory

// A range of addresses: of the device, or of the host and pinned.
struct range {
    char *start;
    size_t bytes;
    enum cudaMemoryType type;
    struct range *next;
};

static struct range *ranges;
static size_t used_bytes;

size_t device_capacity(void) {
    const char *gib = getenv("NULL_DEVICE_GIB");
    return (size_t)((gib ? atof(gib) : 139.0) * (1 << 30));
}

size_t device_used(void) { return used_bytes; }

static void add_range(void *start, size_t bytes, enum cudaMemoryType type) {
    struct range *added = malloc(sizeof *added);
    if (!added)
        abort();
    pthread_mutex_lock(&guard);
    *added = (struct range){start, bytes, type, ranges};
    ranges = added;
    pthread_mutex_unlock(&guard);
}

static size_t remove_range(const void *start) {
    size_t bytes = 0;
    pthread_mutex_lock(&guard);
    for (struct range **link = &ranges; *link; link = &(*link)->next) {
        struct range *found = *link;
        if (found->start == start) {
            bytes = found->bytes;
            *link = found->next;
            free(found);
            break;
        }
    }
    pthread_mutex_unlock(&guard);
    return bytes;
}

static enum cudaMemoryType type_of(const void *address) {
    enum cudaMemoryType type = cudaMemoryTypeUnregistered;
    pthread_mutex_lock(&guard);
    for (struct range *range = ranges; range; range = range->next)
        if ((const char *)address >= range->start && (const char *)address < range->start + range->bytes) {
            type = range->type;
            break;
        }
    pthread_mutex_unlock(&guard);
    return type;
}

cudaError_t cudaMalloc(void **address, size_t bytes) {
    uint64_t *values = device_counts()->values;
    count(COUNT_ALLOCATIONS);
    // Pages that nobody touches take no memory of the host.
    if (used_bytes + bytes > device_capacity())
        return cudaErrorMemoryAllocation;
    void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return cudaErrorMemoryAllocation;
    add_range(start, bytes, cudaMemoryTypeDevice);
    pthread_mutex_lock(&guard);
    used_bytes += bytes;
    values[COUNT_BYTES_ALLOCATED] = used_bytes;
    if (used_bytes > values[COUNT_PEAK_BYTES])
        values[COUNT_PEAK_BYTES] = used_bytes;
    pthread_mutex_unlock(&guard);
    *address = start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *address) {
    size_t bytes = remove_range(address);
    if (bytes) {
        munmap(address, bytes);
        pthread_mutex_lock(&guard);
        used_bytes -= bytes;
        device_counts()->values[COUNT_BYTES_ALLOCATED] = used_bytes;
        pthread_mutex_unlock(&guard);
    }
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **address, size_t bytes, cudaStream_t stream) { return cudaMalloc(address, bytes); }
cudaError_t cudaFreeAsync(void *address, cudaStream_t stream) { return cudaFree(address); }

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned int flags) {
    if (posix_memalign(address, 4096, bytes))
        return cudaErrorMemoryAllocation;
    add_range(*address, bytes, cudaMemoryTypeHost);
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **address, size_t bytes) { return cudaHostAlloc(address, bytes, 0); }

cudaError_t cudaFreeHost(void *address) {
    remove_range(address);
    free(address);
    return cudaSuccess;
}

cudaError_t cudaHostRegister(void *address, size_t bytes, unsigned int flags) {
    add_range(address, bytes, cudaMemoryTypeHost);
    return cudaSuccess;
}

cudaError_t cudaHostUnregister(void *address) {
    remove_range(address);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    *total_bytes = device_capacity();
    *free_bytes = *total_bytes - used_bytes;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *address) {
    memset(attributes, 0, sizeof *attributes);
    attributes->type = type_of(address);
    if (attributes->type == cudaMemoryTypeUnregistered)
        return cudaSuccess;
    attributes->devicePointer = (void *)address;
    attributes->hostPointer = attributes->type == cudaMemoryTypeHost ? (void *)address : NULL;
    return cudaSuccess;
}

// ---------------------------------------------------------------- copies

static enum cudaMemcpyKind direction(void *target, const void *source, enum cudaMemcpyKind kind) {
    if (kind != cudaMemcpyDefault)
        return kind;
    int to_device = type_of(target) == cudaMemoryTypeDevice;
    int from_device = type_of(source) == cudaMemoryTypeDevice;
    if (to_device)
        return from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
    return from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
}

cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    kind = direction(target, source, kind);
    if (kind == cudaMemcpyHostToDevice) {
        count(type_of(source) == cudaMemoryTypeHost ? COUNT_PINNED_COPIES : COUNT_PAGEABLE_COPIES);
        count_bytes(COUNT_BYTES_TO_DEVICE, bytes);
    } else if (kind == cudaMemcpyDeviceToHost) {
        count(COUNT_COPIES_BACK);
        count_bytes(COUNT_BYTES_BACK, bytes);
    }
    if (kind != cudaMemcpyDeviceToDevice || bytes <= LARGEST_REAL_FILL_BYTES)
        memmove(target, source, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *target, const void *source, size_t bytes, enum cudaMemcpyKind kind) {
    count(COUNT_SYNCHRONIZATIONS);
    return cudaMemcpyAsync(target, source, bytes, kind, NULL);
}

cudaError_t cudaMemcpy2DAsync(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    for (size_t row = 0; row < height; row++)
        cudaMemcpyAsync((char *)target + row * target_pitch, (const char *)source + row * source_pitch, width, kind, stream);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *target, int value, size_t bytes, cudaStream_t stream) {
    if (bytes <= LARGEST_REAL_FILL_BYTES)
        memset(target, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *target, int value, size_t bytes) { return cudaMemsetAsync(target, value, bytes, NULL); }

cudaError_t cudaGetSymbolAddress(void **address, const void *symbol) {
    static char anything[1 << 16];
    *address = anything;
    return cudaSuccess;
}

// ---------------------------------------------------------------- the device

cudaError_t cudaGetDeviceCount(int *devices) {
    *devices = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) { return cudaRuntimeGetVersion(version); }

// Data sheet of an H200; a driver's attributes have the same numbers.
static const struct {
    enum cudaDeviceAttr attribute;
    int value;
} ATTRIBUTES[] = {
    {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0},
    {cudaDevAttrMultiProcessorCount, 132},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrMaxThreadsPerBlock, 1024},
    {cudaDevAttrMaxBlockDimX, 1024},
    {cudaDevAttrMaxBlockDimY, 1024},
    {cudaDevAttrMaxBlockDimZ, 64},
    {cudaDevAttrMaxGridDimX, 2147483647},
    {cudaDevAttrMaxGridDimY, 65535},
    {cudaDevAttrMaxGridDimZ, 65535},
    {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrMaxBlocksPerMultiprocessor, 32},
    {cudaDevAttrMaxRegistersPerBlock, 65536},
    {cudaDevAttrMaxRegistersPerMultiprocessor, 65536},
    {cudaDevAttrMaxSharedMemoryPerBlock, 49152},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, 232448},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 233472},
    {cudaDevAttrL2CacheSize, 60 << 20},
    {cudaDevAttrGlobalMemoryBusWidth, 6144},
    {cudaDevAttrMemoryClockRate, 3201000},
    {cudaDevAttrClockRate, 1980000},
    {cudaDevAttrAsyncEngineCount, 3},
    {cudaDevAttrConcurrentKernels, 1},
    {cudaDevAttrUnifiedAddressing, 1},
    {cudaDevAttrManagedMemory, 1},
    {cudaDevAttrCanMapHostMemory, 1},
    {cudaDevAttrCooperativeLaunch, 1},
    {cudaDevAttrStreamPrioritiesSupported, 1},
};

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    *value = 0;
    for (size_t i = 0; i < sizeof ATTRIBUTES / sizeof *ATTRIBUTES; i++)
        if (ATTRIBUTES[i].attribute == attribute)
            *value = ATTRIBUTES[i].value;
    return cudaSuccess;
}

static int attribute(enum cudaDeviceAttr which) {
    int value;
    cudaDeviceGetAttribute(&value, which, 0);
    return value;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    memset(properties, 0, sizeof *properties);
    strcpy(properties->name, DEVICE_NAME);
    properties->totalGlobalMem = device_capacity();
    properties->major = attribute(cudaDevAttrComputeCapabilityMajor);
    properties->minor = attribute(cudaDevAttrComputeCapabilityMinor);
    properties->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount);
    properties->warpSize = attribute(cudaDevAttrWarpSize);
    properties->maxThreadsPerBlock = attribute(cudaDevAttrMaxThreadsPerBlock);
    properties->maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
    properties->maxBlocksPerMultiProcessor = attribute(cudaDevAttrMaxBlocksPerMultiprocessor);
    for (int axis = 0; axis < 3; axis++) {
        properties->maxThreadsDim[axis] = attribute(cudaDevAttrMaxBlockDimX + axis);
        properties->maxGridSize[axis] = attribute(cudaDevAttrMaxGridDimX + axis);
    }
    properties->regsPerBlock = attribute(cudaDevAttrMaxRegistersPerBlock);
    properties->regsPerMultiprocessor = attribute(cudaDevAttrMaxRegistersPerMultiprocessor);
    properties->sharedMemPerBlock = attribute(cudaDevAttrMaxSharedMemoryPerBlock);
    properties->sharedMemPerBlockOptin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    properties->sharedMemPerMultiprocessor = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor);
    properties->l2CacheSize = attribute(cudaDevAttrL2CacheSize);
    properties->memoryBusWidth = attribute(cudaDevAttrGlobalMemoryBusWidth);
    properties->asyncEngineCount = attribute(cudaDevAttrAsyncEngineCount);
    properties->concurrentKernels = 1;
    properties->unifiedAddressing = 1;
    properties->canMapHostMemory = 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char *text, int bytes, int device) {
    snprintf(text, bytes, "0000:00:00.0");
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = 0;
    return cudaSuccess;
}

const char *cudaGetErrorName(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorUnknown"; }
const char *cudaGetErrorString(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "out of memory" : "unknown error of the null device"; }

// ---------------------------------------------------------------- streams and events

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    *stream = new_handle();
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority) { return cudaStreamCreate(stream); }

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) {
    *priority = 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    count(COUNT_SYNCHRONIZATIONS);
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) { return cudaStreamSynchronize(NULL); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return cudaStreamSynchronize(NULL); }

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    *event = new_handle();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) { return cudaEventCreate(event); }

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    // Programs divide by it.
    *milliseconds = 1;
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    function(data);
    return cudaSuccess;
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void *data, unsigned int flags) {
    function(stream, cudaSuccess, data);
    return cudaSuccess;
}

// ---------------------------------------------------------------- kernels

cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared_bytes, cudaStream_t stream) {
    count(COUNT_LAUNCHES);
    return cudaSuccess;
}

cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared_bytes, cudaStream_t stream) {
    return cudaLaunchKernel(function, grid, block, arguments, shared_bytes, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
    count(COUNT_LAUNCHES);
    return cudaSuccess;
}

// What nvcc writes for `kernel<<<grid, block>>>()`.
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared_bytes, cudaStream_t stream) {
    return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared_bytes, cudaStream_t stream) {
    return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
    memset(attributes, 0, sizeof *attributes);
    attributes->maxThreadsPerBlock = 1024;
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int block_size, size_t shared_bytes) {
    *blocks = 4;
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int block_size, size_t shared_bytes, unsigned int flags) {
    return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, block_size, shared_bytes);
}

// ---------------------------------------------------------------- graphs

// One stream captures at a time: torch captures in its own.
static cudaStream_t capturing;
static cudaGraph_t captured;
static unsigned long long capture_number;

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    capturing = stream;
    captured = new_handle();
    capture_number++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    capturing = NULL;
    *graph = captured;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    *status = stream && stream == capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *number, cudaGraph_t *graph, const cudaGraphNode_t **dependencies, const cudaGraphEdgeData **edges, size_t *num_dependencies) {
    cudaStreamIsCapturing(stream, status);
    if (number)
        *number = capture_number;
    if (graph)
        *graph = captured;
    if (num_dependencies)
        *num_dependencies = 0;
    return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *num_nodes) {
    // A graph without a node is reported as a mistake.
    *num_nodes = 1;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    *executable = new_handle();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) { return cudaGraphInstantiate(executable, graph, flags); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    count(COUNT_GRAPH_LAUNCHES);
    return cudaSuccess;
}

// ---------------------------------------------------------------- the driver behind the runtime

static long succeed(void) { return 0; }

void *find_entry(const char *name) {
    void *entry = dlsym(RTLD_DEFAULT, name);
    return entry ? entry : (void *)succeed;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **entry, unsigned int version, unsigned long long flags, enum cudaDriverEntryPointQueryResult *result) {
    *entry = find_entry(name);
    if (result)
        *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}
