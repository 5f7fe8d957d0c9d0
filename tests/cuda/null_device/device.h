// What the parts of the null device share: the counts of a program's calls and the state of memory.
#ifndef NULL_DEVICE_H
#define NULL_DEVICE_H

#include <stddef.h>
#include <stdint.h>

// A test reads these by position: the names in counts.py are in the same order.
enum count {
    COUNT_LAUNCHES,          // kernels of torch's own libraries
    COUNT_DRIVER_LAUNCHES,   // kernels that were compiled while the program ran: Triton's
    COUNT_GRAPH_LAUNCHES,    // replays of captured graphs
    COUNT_PRODUCTS,          // matrix products and scalar products of cuBLAS
    COUNT_SYNCHRONIZATIONS,  // calls that make the host wait for the device
    COUNT_PINNED_COPIES,     // host to device, from pinned memory
    COUNT_PAGEABLE_COPIES,   // host to device, from memory that the driver has to copy first
    COUNT_COPIES_BACK,       // device to host
    COUNT_BYTES_TO_DEVICE,
    COUNT_BYTES_BACK,
    COUNT_ALLOCATIONS,       // of device memory
    COUNT_BYTES_ALLOCATED,   // at present
    COUNT_PEAK_BYTES,        // the most that was allocated at once
    NUM_COUNTS
};

enum { MAX_KERNELS = 2048, KERNEL_NAME_BYTES = 248 };

// A kernel that the driver was given, in the order of first appearance.
struct kernel {
    char name[KERNEL_NAME_BYTES];
    uint64_t launches;
};

// The layout of the file of counts.
struct counts {
    uint64_t values[NUM_COUNTS];
    struct kernel kernels[MAX_KERNELS];
};

struct counts *device_counts(void);

static inline void count(enum count which) {
    __atomic_fetch_add(&device_counts()->values[which], 1, __ATOMIC_RELAXED);
}

static inline void count_bytes(enum count which, size_t bytes) {
    __atomic_fetch_add(&device_counts()->values[which], bytes, __ATOMIC_RELAXED);
}

// Bytes that the device has, and how many of them are taken.
size_t device_capacity(void);
size_t device_used(void);

// Entry of a symbol of this library, or of one that succeeds without doing anything.
void *find_entry(const char *name);

// A handle that is unlike any other and points nowhere.
void *new_handle(void);

extern const char DEVICE_NAME[];

#endif
