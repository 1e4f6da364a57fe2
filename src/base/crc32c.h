/*
 * CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), as in iSCSI (RFC 3720) and ext4. With the processor's instruction
 * where there is one, else by eight tables of one byte each ("slicing by 8", Kounavis and Berry 2005).
 */
#ifndef AE_CRC32C_H
#define AE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continued from `crc`, 0 at first. */
uint32_t ae_crc32c(uint32_t crc, const void *bytes, size_t size);

/* For tests: the way without the instruction. */
uint32_t ae_crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif
