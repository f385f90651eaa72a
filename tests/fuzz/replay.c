/* main() of the fuzz targets where there is no libFuzzer: runs the target on every file of the
 * directories given. Options (libFuzzer's) are passed over. Exit status 1 when there is no file,
 * since a test that tests nothing has failed. */
#include "core/mem.h"
#include "fuzz.h"
#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

/* False: `path` isn't a regular file. The target gets a block of exactly the file's size, so that
 * the address sanitizer sees a byte read too far. */
static bool run_file(const char *path)
{
    struct stat st;
    FILE *f = fopen(path, "rb");
    bool regular = f && fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode);
    if (regular) {
        size_t size = (size_t)st.st_size;
        uint8_t *data = mem_alloc(size);
        FUZZ_CHECK(fread(data, 1, size, f) == size);
        LLVMFuzzerTestOneInput(data, size);
        mem_free(data);
    }
    if (f)
        fclose(f);
    return regular;
}

static size_t run_directory(const char *path)
{
    size_t n = 0;
    DIR *d = opendir(path);
    if (!d) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        char *file = mem_printf("%s/%s", path, entry->d_name);
        n += run_file(file);
        mem_free(file);
    }
    closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    size_t n = 0;
    for (int i = 1; i < argc; i++)
        n += argv[i][0] == '-' ? 0 : run_directory(argv[i]);
    printf("%zu inputs\n", n);
    return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
