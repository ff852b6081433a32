/* A plugin for QEMU's user emulation (its plugin interface 1: QEMU 4.2 to 8.2): which instructions ran, how often.

   The guest marks what is to be counted by a system call that nobody makes otherwise: sched_get_priority_max(MARK + n)
   begins at zero, sched_get_priority_min(MARK + n) ends and writes OUT.n: for each instruction its block's address, its
   place in the block, opcode and count. A block that is left in its middle by a signal counts as a whole.

   Declared here is what QEMU's qemu-plugin.h declares; Debian packages no such header. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { ADD_U64 = 0 };
typedef void (*tb_trans)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*syscalled)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                          uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscalled);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { SCHED_GET_PRIORITY_MAX = 125, SCHED_GET_PRIORITY_MIN = 126, MARK = 0x5eed0000 };

struct block {
    struct block *next;
    uint64_t ran, address;
    size_t size;
    uint32_t opcodes[];
};

static struct block *blocks;
static const char *out = "counted";

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
    (void)id;
    size_t size = qemu_plugin_tb_n_insns(tb);
    struct block *made = calloc(1, sizeof *made + size * sizeof(uint32_t));
    if (made == NULL || size == 0) {
        abort();
    }
    made->size = size;
    made->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    for (size_t i = 0; i < size; i++) {
        memcpy(&made->opcodes[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof(uint32_t));
    }
    do {
        made->next = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);
    } while (!__sync_bool_compare_and_swap(&blocks, made->next, made));
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &made->ran, 1);
}

static void write_counts(uint64_t number) {
    char path[4096];
    snprintf(path, sizeof path, "%s.%" PRIu64, out, number);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        perror(path);
        abort();
    }
    for (struct block *one = blocks; one != NULL; one = one->next) {
        for (size_t i = 0; one->ran != 0 && i < one->size; i++) {
            fprintf(file, "%" PRIx64 " %zx %08" PRIx32 " %" PRIu64 "\n", one->address, i, one->opcodes[i], one->ran);
        }
    }
    fclose(file);
}

static void called(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)cpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if ((a & 0xffff0000) != MARK) {
        return;
    }
    if (number == SCHED_GET_PRIORITY_MAX) {
        for (struct block *one = blocks; one != NULL; one = one->next) {
            one->ran = 0;
        }
    } else if (number == SCHED_GET_PRIORITY_MIN) {
        write_counts(a & 0xffff);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            out = strdup(argv[i] + 4);
        }
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
