/* CRC-32C: known values, and both ways the same. */
#include "common/unit.h"

#include "base/crc32c.h"

/* RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms. */
TEST(base_crc32c, D10_known_values)
{
    unsigned char bytes[32] = {0};
    expect_number(0xe3069283, ae_crc32c(0, "123456789", 9));
    expect_number(0x8a9136aa, ae_crc32c(0, bytes, 32));
    memset(bytes, 0xff, 32);
    expect_number(0x62a8ab43, ae_crc32c(0, bytes, 32));
    for (int i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    expect_number(0x46dd794e, ae_crc32c(0, bytes, 32));
    expect_number(0, ae_crc32c(0, NULL, 0));
}

TEST(base_crc32c, D10_with_and_without_the_instruction_and_in_parts)
{
    unsigned char bytes[100];
    for (int i = 0; i < 100; i++)
        bytes[i] = (unsigned char)(i * 151 + 7);
    for (size_t size = 0; size <= 100; size++) {
        uint32_t whole = ae_crc32c(0, bytes, size);
        expect_number(ae_crc32c_by_table(0, bytes, size), whole);
        for (size_t part = 0; part <= size; part += 7)
            expect_number(whole, ae_crc32c(ae_crc32c(0, bytes, part), bytes + part, size - part));
    }
}
