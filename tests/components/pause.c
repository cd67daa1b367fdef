/* The program of the pause image: holds a pod's namespaces open, reaps orphans, ends on TERM and INT. Static and without a C
 * library, so that it runs on every kernel and weighs next to nothing. For x86-64 Linux:
 *
 *   gcc -Os -static -nostdlib -ffreestanding -fno-stack-protector -o pause pause.c
 */
enum { SYS_pause = 34, SYS_exit = 60, SYS_wait4 = 61, SYS_rt_sigaction = 13, SYS_rt_sigreturn = 15 };
enum { SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1 };
#define SA_NOCLDSTOP 0x00000001UL
#define SA_RESTORER 0x04000000UL

static long call(long number, long a, long b, long c, long d) {
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

/* The kernel returns from a handler by way of this. */
void restore(void);
__asm__(".globl restore\nrestore:\n\tmov $15, %eax\n\tsyscall\n");

static void on_end(int signal) {
    (void)signal;
    call(SYS_exit, 0, 0, 0, 0);
}

static void on_child(int signal) {
    (void)signal;
    while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0) {
    }
}

/* The kernel's struct sigaction, not the C library's. */
struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

static void handle(int signal, void (*handler)(int), unsigned long flags) {
    struct action action = {handler, flags | SA_RESTORER, restore, 0};
    call(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask);
}

__attribute__((noreturn, force_align_arg_pointer)) void _start(void) {
    handle(SIGINT, on_end, 0);
    handle(SIGTERM, on_end, 0);
    handle(SIGCHLD, on_child, SA_NOCLDSTOP);
    for (;;) {
        call(SYS_pause, 0, 0, 0, 0);
    }
}
