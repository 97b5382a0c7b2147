// vsock-device PATH: makes the empty file PATH a device that takes VHOST_VSOCK_SET_GUEST_CID, and nothing else.
//
// incusd asks /dev/vhost-vsock for a free guest id before it starts a virtual machine; a kernel without vhost_vsock has
// no such device. This is a file system of one file, spoken to the kernel directly (linux/fuse.h), since a file can
// answer an ioctl that way without a library to build against.
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SET_GUEST_CID _IOW(0xAF, 0x60, uint64_t)

static int fuse;

static void reply(uint64_t unique, int error, const void *body, size_t size) {
  struct fuse_out_header head = {.len = sizeof head + size, .error = -error, .unique = unique};
  struct iovec parts[] = {{&head, sizeof head}, {(void *)body, size}};
  if (writev(fuse, parts, 2) < 0 && errno != ENOENT) perror("vsock-device: reply");   // ENOENT: the asker has gone
}

static void answer(const struct fuse_in_header *in, const void *body) {
  switch (in->opcode) {
  case FUSE_INIT: {
    const struct fuse_init_in *wanted = body;
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .max_write = 4096, .max_readahead = wanted->max_readahead};
    out.minor = wanted->minor < 31 ? wanted->minor : 31;
    reply(in->unique, 0, &out, sizeof out);
    break;
  }
  case FUSE_GETATTR:
  case FUSE_SETATTR: {
    struct fuse_attr_out out = {.attr_valid = 60, .attr = {.ino = 1, .mode = S_IFREG | 0666, .nlink = 1, .blksize = 4096}};
    reply(in->unique, 0, &out, sizeof out);
    break;
  }
  case FUSE_OPEN: {
    struct fuse_open_out out = {.open_flags = FOPEN_DIRECT_IO};
    reply(in->unique, 0, &out, sizeof out);
    break;
  }
  case FUSE_IOCTL: {
    const struct fuse_ioctl_in *asked = body;
    struct fuse_ioctl_out out = {0};
    if (asked->cmd == (uint32_t)SET_GUEST_CID) reply(in->unique, 0, &out, sizeof out);
    else reply(in->unique, ENOTTY, NULL, 0);
    break;
  }
  case FUSE_FLUSH:
  case FUSE_RELEASE:
    reply(in->unique, 0, NULL, 0);
    break;
  case FUSE_FORGET:
  case FUSE_BATCH_FORGET:
  case FUSE_INTERRUPT:
    break;                                             // these have no answer
  default:
    reply(in->unique, ENOSYS, NULL, 0);
  }
}

int main(int argc, char **argv) {
  static _Alignas(8) char buffer[1 << 17];
  char options[64];
  if (argc != 2) return fprintf(stderr, "usage: vsock-device PATH\n"), 2;
  fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (fuse < 0) return perror("vsock-device: /dev/fuse"), 1;
  snprintf(options, sizeof options, "fd=%d,rootmode=100666,user_id=0,group_id=0", fuse);
  if (mount("vsock-device", argv[1], "fuse", MS_NOSUID, options)) return perror("vsock-device: mount"), 1;
  if (fork() != 0) return 0;                           // mounted: whoever started us can go on
  for (;;) {
    ssize_t size = read(fuse, buffer, sizeof buffer);
    if (size < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN)) continue;
    if (size < (ssize_t)sizeof(struct fuse_in_header)) return 0;       // unmounted
    answer((struct fuse_in_header *)buffer, buffer + sizeof(struct fuse_in_header));
  }
}
