// Memory and copies of a device whose kernels do nothing, and the file of counts.
#define _GNU_SOURCE
#include "device.h"

#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// Contents of copies within the device and of fills matter only for small facts such as counters; longer ones
// would cost the host the time and the memory that a device has for them.
enum { LARGEST_REAL_FILL_BYTES = 1 << 16 };

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;

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

