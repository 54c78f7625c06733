/* For the attempts of the escape campaign that Python cannot make: a system call by the old gate of 32 bits. */

long old_socket(void)
{
#if defined(__x86_64__)
    long result;
    /* 359: socket of i386; AF_INET, SOCK_STREAM */
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(359L), "b"(2L), "c"(1L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
    return (int)result;
#else
    return -38;
#endif
}
