// The CUDA driver of a device whose kernels do nothing: modules that Triton loads, and launches counted by kernel.
#include "device.h"

#include <cuda.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

extern int cudaDeviceGetAttribute(int *value, int attribute, int device);
extern int cudaPointerGetAttributes(void *attributes, const void *address);

// A context and a module are only passed around.
static char context, module;

CUresult cuInit(unsigned int flags) { return CUDA_SUCCESS; }

CUresult cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *devices) {
    *devices = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int number) {
    *device = number;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
    strncpy(name, DEVICE_NAME, bytes);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    cudaDeviceGetAttribute(value, attribute, device);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) {
    *bytes = device_capacity();
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    *total_bytes = device_capacity();
    *free_bytes = *total_bytes - device_used();
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned int *flags, int *is_active) {
    *flags = 0;
    *is_active = 1;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *found, CUdevice device) {
    *found = (CUcontext)&context;
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *found) { return cuDevicePrimaryCtxRetain(found, 0); }

CUresult cuCtxGetDevice(CUdevice *device) {
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void *value, CUpointer_attribute attribute, CUdeviceptr address) {
    // Triton asks for the address on the device, torch for the context of an allocation.
    if (attribute == CU_POINTER_ATTRIBUTE_CONTEXT)
        *(CUcontext *)value = (CUcontext)&context;
    else
        *(CUdeviceptr *)value = address;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = "error of the null device";
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char **text) { return cuGetErrorString(error, text); }

// A tool that needs the driver's private tables is told that there are none.
CUresult cuGetExportTable(const void **table, const CUuuid *identifier) {
    *table = NULL;
    return CUDA_ERROR_NOT_FOUND;
}

CUresult cuModuleLoad(CUmodule *loaded, const char *path) {
    *loaded = (CUmodule)&module;
    return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *loaded, const void *image) { return cuModuleLoad(loaded, NULL); }

CUresult cuModuleLoadDataEx(CUmodule *loaded, const void *image, unsigned int num_options, CUjit_option *options, void **values) {
    return cuModuleLoad(loaded, NULL);
}

// The handle of a kernel is its entry in the table of counts.
CUresult cuModuleGetFunction(CUfunction *function, CUmodule loaded, const char *name) {
    static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
    struct kernel *kernels = device_counts()->kernels;
    int index = 0;
    pthread_mutex_lock(&guard);
    // The last entry is for all that no longer fit.
    while (index < MAX_KERNELS - 1 && kernels[index].name[0] && strncmp(kernels[index].name, name, KERNEL_NAME_BYTES - 1))
        index++;
    strncpy(kernels[index].name, index < MAX_KERNELS - 1 ? name : "others", KERNEL_NAME_BYTES - 1);
    pthread_mutex_unlock(&guard);
    *function = (CUfunction)&kernels[index];
    return CUDA_SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, CUfunction_attribute attribute, CUfunction function) {
    *value = attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK ? 1024 : 0;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int block_size, size_t shared_bytes) {
    *blocks = 4;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxActiveClusters(int *clusters, CUfunction function, const CUlaunchConfig *config) {
    *clusters = 4;
    return CUDA_SUCCESS;
}

static CUresult launch(CUfunction function) {
    struct kernel *kernels = device_counts()->kernels, *kernel = (struct kernel *)function;
    count(COUNT_DRIVER_LAUNCHES);
    if (kernel >= kernels && kernel < kernels + MAX_KERNELS)
        __atomic_fetch_add(&kernel->launches, 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **arguments, void **extra) {
    return launch(function);
}

CUresult cuLaunchCooperativeKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **arguments) {
    return launch(function);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction function, void **arguments, void **extra) { return launch(function); }

CUresult cuGetProcAddress(const char *name, void **entry, int version, cuuint64_t flags, CUdriverProcAddressQueryResult *result) {
    *entry = find_entry(name);
    if (result)
        *result = CU_GET_PROC_ADDRESS_SUCCESS;
    return CUDA_SUCCESS;
}
