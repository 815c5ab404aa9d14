package smile

import (
	"encoding/base64"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMagnitude bounds integers and decimals, in bytes: they take the square of it to spell.
const maxMagnitude = 1024

// literal appends a value of the tokens 0x20 to 0x3F.
func (d *decoder) literal(token byte) {
	switch token {
	case 0x20:
		d.put('"', '"')
	case 0x21:
		d.say("null")
	case 0x22:
		d.say("false")
	case 0x23:
		d.say("true")
	case 0x24, 0x25:
		d.integer(unzigzag(d.unsigned()))
	case 0x26:
		d.say(d.magnitude().String())
	case 0x28:
		d.float(float64(math.Float32frombits(uint32(d.fixed(5)))), 32)
	case 0x29:
		d.float(math.Float64frombits(d.fixed(10)), 64)
	case 0x2A:
		scale := unzigzag(d.unsigned())
		if scale != int64(int32(scale)) {
			d.fail("is a number that is too large")
		}
		d.say(decimal(d.magnitude(), scale))
	default:
		d.fail("is no token of a value")
	}
}

// unsigned is a number of variable length: 7 bits in each byte, and 6 in the last, which has its high bit
// set.
func (d *decoder) unsigned() (n uint64) {
	for range 10 {
		b := d.byte()
		if b >= 0xC0 || n>>57 != 0 && b < 0x80 || n>>58 != 0 {
			break
		}
		if b >= 0x80 {
			return n<<6 | uint64(b&0x3F)
		}
		n = n<<7 | uint64(b)
	}
	d.fail("is no number")
	return 0
}

func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// fixed is a number of n bytes, with 7 bits in each.
func (d *decoder) fixed(n int) (bits uint64) {
	for _, b := range d.take(uint64(n)) {
		if b >= 0x80 {
			d.fail("is no number")
			return 0
		}
		bits = bits<<7 | uint64(b)
	}
	return bits
}

func (d *decoder) integer(n int64) { d.put(strconv.AppendInt(nil, n, 10)...) }

// float appends a number as package encoding/json does.
func (d *decoder) float(f float64, bits int) {
	switch {
	case math.IsNaN(f):
		d.say(`"NaN"`)
	case math.IsInf(f, 1):
		d.say(`"Infinity"`)
	case math.IsInf(f, -1):
		d.say(`"-Infinity"`)
	default:
		format := byte('f')
		if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		d.put(strconv.AppendFloat(nil, f, format, -1, bits)...)
	}
}

// magnitude is an integer of any size, in two's complement.
func (d *decoder) magnitude() *big.Int {
	data := d.sevenBits()
	if len(data) == 0 || len(data) > maxMagnitude {
		d.fail("is a number that is too large, or empty,")
		return new(big.Int)
	}
	n := new(big.Int).SetBytes(data)
	if data[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(data))))
	}
	return n
}

// decimal spells unscaled / 10^scale as Java's BigDecimal does, which is JSON.
func decimal(unscaled *big.Int, scale int64) string {
	digits, sign := unscaled.String(), ""
	if digits[0] == '-' {
		digits, sign = digits[1:], "-"
	}
	n := int64(len(digits))
	exponent := n - 1 - scale
	switch {
	case scale == 0:
		return sign + digits
	case scale > 0 && exponent >= 0:
		return sign + digits[:n-scale] + "." + digits[n-scale:]
	case scale > 0 && exponent >= -6:
		return sign + "0." + strings.Repeat("0", int(scale-n)) + digits
	}
	if n > 1 {
		digits = digits[:1] + "." + digits[1:]
	}
	if exponent >= 0 {
		digits += "E+" + strconv.FormatInt(exponent, 10)
	} else {
		digits += "E" + strconv.FormatInt(exponent, 10)
	}
	return sign + digits
}

// sevenBits is binary data of which each byte holds 7 bits, behind its length; the last of the bytes holds
// the bits that are left, to its right.
func (d *decoder) sevenBits() []byte {
	n := d.unsigned()
	if n > uint64(len(d.in)) {
		d.fail("is no end of the value")
		return nil
	}
	encoded := d.take((n*8 + 6) / 7)
	data := make([]byte, 0, n)
	bits, held := uint64(0), 0
	for i, b := range encoded {
		width := 7
		if i == len(encoded)-1 {
			width = int(n*8) - 7*i
		}
		if b>>width != 0 {
			d.fail("is no binary data")
			return nil
		}
		bits, held = bits<<width|uint64(b), held+width
		if held >= 8 {
			held -= 8
			data = append(data, byte(bits>>held))
		}
	}
	return data
}

func (d *decoder) binary(data []byte) {
	d.put('"')
	if d.err == nil && len(d.out)+base64.StdEncoding.EncodedLen(len(data)) > d.limit {
		d.err, d.at = ErrTooLarge, len(d.in)
		return
	}
	d.out = base64.StdEncoding.AppendEncode(d.out, data)
	d.put('"')
}

// text appends a string.
func (d *decoder) text(text []byte) {
	if !utf8.Valid(text) {
		d.fail("is text that is not UTF-8")
		return
	}
	d.put('"')
	from := 0
	for i, b := range text {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		d.put(text[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			d.put('\\', b)
		case '\n':
			d.put('\\', 'n')
		case '\r':
			d.put('\\', 'r')
		case '\t':
			d.put('\\', 't')
		default:
			const hex = "0123456789abcdef"
			d.put('\\', 'u', '0', '0', hex[b>>4], hex[b&15])
		}
	}
	d.put(text[from:]...)
	d.put('"')
}
