/*
 * A file system under SQLite for tests: passes everything on to the real one, and
 *  - keeps a journal of what changes files: writes, truncations, syncs, deletions, in their order, so that the files can be
 * made again as a crash at any point may have left them;
 *  - fails on demand: the Nth call of a kind.
 *
 * Header only: programs with another name are not linked with SQLite.
 */
#ifndef SQLITE_VFS_H
#define SQLITE_VFS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum vfs_kind { VFS_WRITE, VFS_TRUNCATE, VFS_SYNC, VFS_DELETE, VFS_ACKNOWLEDGED, VFS_READ, VFS_KINDS };

enum { VFS_FILES = 4 };

/* What happened. */
struct vfs_entry {
    enum vfs_kind kind;
    int file;       /* in vfs.names */
    int64_t offset; /* of a write; the new size of a truncation; the number of an acknowledgement */
    unsigned char *bytes;
    int size;
};

struct vfs {
    sqlite3_vfs *real;
    char names[VFS_FILES][300];
    int files;
    struct vfs_entry *entries;
    size_t count, room;
    bool keeps; /* a journal */
    /* A call of `fails` that comes after `skip` others of it answers `code`; -1: no more. */
    enum vfs_kind fails;
    int64_t skip;
    int code;
    bool again;            /* and all after it */
    bool keeps_neighbours; /* what most disks promise, and SQLite believes by default */
    uint64_t failed;
};

static struct vfs vfs;

struct vfs_file {
    sqlite3_file base;
    int name;
    sqlite3_file *real;
};

static int vfs_name(const char *path)
{
    for (int i = 0; i < vfs.files; i++)
        if (strcmp(vfs.names[i], path) == 0)
            return i;
    if (vfs.files == VFS_FILES)
        abort();
    snprintf(vfs.names[vfs.files], sizeof vfs.names[0], "%s", path);
    return vfs.files++;
}

static void vfs_note(enum vfs_kind kind, int file, int64_t offset, const void *bytes, int size)
{
    if (!vfs.keeps)
        return;
    if (vfs.count == vfs.room) {
        vfs.room = vfs.room != 0 ? vfs.room * 2 : 256;
        vfs.entries = realloc(vfs.entries, vfs.room * sizeof *vfs.entries);
        if (vfs.entries == NULL)
            abort();
    }
    struct vfs_entry *entry = &vfs.entries[vfs.count++];
    *entry = (struct vfs_entry){.kind = kind, .file = file, .offset = offset, .size = size};
    if (size != 0) {
        entry->bytes = malloc((size_t)size);
        if (entry->bytes == NULL)
            abort();
        memcpy(entry->bytes, bytes, (size_t)size);
    }
}

static bool vfs_is_to_fail(enum vfs_kind kind)
{
    if (vfs.code == 0 || vfs.fails != kind || vfs.skip < 0)
        return false;
    if (vfs.skip-- > 0)
        return false;
    if (vfs.again)
        vfs.skip = 0;
    vfs.failed++;
    return true;
}

static sqlite3_file *vfs_real(sqlite3_file *file)
{
    return ((struct vfs_file *)file)->real;
}

static int vfs_close(sqlite3_file *file)
{
    sqlite3_file *real = vfs_real(file);
    int code = real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
    free(real);
    return code;
}

static int vfs_read(sqlite3_file *file, void *to, int size, sqlite3_int64 offset)
{
    if (vfs_is_to_fail(VFS_READ))
        return vfs.code;
    return vfs_real(file)->pMethods->xRead(vfs_real(file), to, size, offset);
}

static int vfs_write(sqlite3_file *file, const void *from, int size, sqlite3_int64 offset)
{
    if (vfs_is_to_fail(VFS_WRITE))
        return vfs.code;
    vfs_note(VFS_WRITE, ((struct vfs_file *)file)->name, offset, from, size);
    return vfs_real(file)->pMethods->xWrite(vfs_real(file), from, size, offset);
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (vfs_is_to_fail(VFS_TRUNCATE))
        return vfs.code;
    vfs_note(VFS_TRUNCATE, ((struct vfs_file *)file)->name, size, NULL, 0);
    return vfs_real(file)->pMethods->xTruncate(vfs_real(file), size);
}

/* The real one is not needed: nothing crashes here. */
static int vfs_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    if (vfs_is_to_fail(VFS_SYNC))
        return vfs.code;
    vfs_note(VFS_SYNC, ((struct vfs_file *)file)->name, 0, NULL, 0);
    return SQLITE_OK;
}

static int vfs_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return vfs_real(file)->pMethods->xFileSize(vfs_real(file), size);
}

static int vfs_lock(sqlite3_file *file, int level)
{
    return vfs_real(file)->pMethods->xLock(vfs_real(file), level);
}

static int vfs_unlock(sqlite3_file *file, int level)
{
    return vfs_real(file)->pMethods->xUnlock(vfs_real(file), level);
}

static int vfs_check_lock(sqlite3_file *file, int *result)
{
    return vfs_real(file)->pMethods->xCheckReservedLock(vfs_real(file), result);
}

static int vfs_control(sqlite3_file *file, int operation, void *argument)
{
    if (operation == SQLITE_FCNTL_POWERSAFE_OVERWRITE) {
        *(int *)argument = vfs.keeps_neighbours;
        return SQLITE_OK;
    }
    return vfs_real(file)->pMethods->xFileControl(vfs_real(file), operation, argument);
}

static int vfs_sector(sqlite3_file *file)
{
    return vfs_real(file)->pMethods->xSectorSize(vfs_real(file));
}

/* At first nothing is promised of the disk: no write is atomic, none keeps its neighbours whole. */
static int vfs_characteristics(sqlite3_file *file)
{
    (void)file;
    return vfs.keeps_neighbours ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static int vfs_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory)
{
    return vfs_real(file)->pMethods->xShmMap(vfs_real(file), page, size, extend, memory);
}

static int vfs_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return vfs_real(file)->pMethods->xShmLock(vfs_real(file), offset, count, flags);
}

static void vfs_shm_barrier(sqlite3_file *file)
{
    vfs_real(file)->pMethods->xShmBarrier(vfs_real(file));
}

static int vfs_shm_unmap(sqlite3_file *file, int remove)
{
    return vfs_real(file)->pMethods->xShmUnmap(vfs_real(file), remove);
}

static int vfs_open(sqlite3_vfs *self, const char *path, sqlite3_file *file, int flags, int *out)
{
    static const sqlite3_io_methods methods = {2,
                                               vfs_close,
                                               vfs_read,
                                               vfs_write,
                                               vfs_truncate,
                                               vfs_sync,
                                               vfs_size,
                                               vfs_lock,
                                               vfs_unlock,
                                               vfs_check_lock,
                                               vfs_control,
                                               vfs_sector,
                                               vfs_characteristics,
                                               vfs_shm_map,
                                               vfs_shm_lock,
                                               vfs_shm_barrier,
                                               vfs_shm_unmap,
                                               NULL,
                                               NULL};
    (void)self;
    struct vfs_file *opened = (struct vfs_file *)file;
    opened->base.pMethods = NULL;
    opened->real = calloc(1, (size_t)vfs.real->szOsFile);
    if (opened->real == NULL)
        return SQLITE_NOMEM;
    int code = vfs.real->xOpen(vfs.real, path, opened->real, flags, out);
    if (code != SQLITE_OK) {
        free(opened->real);
        return code;
    }
    opened->name = path != NULL ? vfs_name(path) : 0;
    opened->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *self, const char *path, int sync)
{
    (void)self;
    if (vfs_is_to_fail(VFS_DELETE))
        return vfs.code;
    int code = vfs.real->xDelete(vfs.real, path, sync);
    if (code == SQLITE_OK)
        vfs_note(VFS_DELETE, vfs_name(path), 0, NULL, 0);
    if (code == SQLITE_OK && sync != 0) /* of the directory: the file stays away */
        vfs_note(VFS_SYNC, vfs_name(path), 0, NULL, 0);
    return code;
}

/* "test", beside the default one: "sqlite:file:PATH?vfs=test". */
static void vfs_register(void)
{
    static sqlite3_vfs test;
    vfs.real = sqlite3_vfs_find(NULL);
    test = *vfs.real;
    test.pNext = NULL;
    test.zName = "test";
    test.szOsFile = (int)sizeof(struct vfs_file);
    test.xOpen = vfs_open;
    test.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&test, 0) != SQLITE_OK)
        abort();
}

static void vfs_forget(void)
{
    for (size_t i = 0; i < vfs.count; i++)
        free(vfs.entries[i].bytes);
    free(vfs.entries);
    vfs.entries = NULL;
    vfs.count = vfs.room = 0;
    vfs.files = 0;
}

#endif
