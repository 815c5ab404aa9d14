// Makes the fixtures beside it: each value in SMILE and, as Jackson writes it, in JSON.
//
//   mvn dependency:copy-dependencies -DoutputDirectory=lib   # of a pom with com.fasterxml.jackson.dataformat:jackson-dataformat-smile:2.19.0
//   java -cp 'lib/*' Fixtures.java FOLDER
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.dataformat.smile.SmileFactory;
import com.fasterxml.jackson.dataformat.smile.SmileGenerator;
import com.fasterxml.jackson.dataformat.smile.databind.SmileMapper;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public class Fixtures {
    static Path folder;

    static void write(String name, Object value, SmileGenerator.Feature... with) throws Exception {
        SmileFactory f = new SmileFactory();
        f.disable(SmileGenerator.Feature.CHECK_SHARED_NAMES);
        f.enable(SmileGenerator.Feature.ENCODE_BINARY_AS_7BIT);
        for (SmileGenerator.Feature one : with) {
            if (one == SmileGenerator.Feature.ENCODE_BINARY_AS_7BIT) f.disable(one); else f.enable(one);
        }
        Files.write(folder.resolve(name + ".smile"), new SmileMapper(f).writeValueAsBytes(value));
        Files.write(folder.resolve(name + ".json"), new ObjectMapper().writeValueAsBytes(value));
    }

    static Map<String, Object> numbers() {
        List<Object> ints = new ArrayList<>(List.of(0, 1, -1, 15, 16, -16, -17, 31, 32, 63, 64, -64, -65, 8191, 8192, 1 << 20, 1 << 27,
            Integer.MAX_VALUE, Integer.MIN_VALUE, 1L << 31, 1L << 32, -(1L << 32) - 1, 1L << 33, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE));
        List<Object> big = new ArrayList<>();
        for (String s : new String[] {"9223372036854775808", "-9223372036854775809", "18446744073709551616", "123456789012345678901234567890", "-123456789012345678901234567890123", "340282366920938463463374607431768211455"})
            big.add(new BigInteger(s));
        for (int bits = 64; bits < 200; bits += 7) { big.add(BigInteger.ONE.shiftLeft(bits)); big.add(BigInteger.ONE.shiftLeft(bits).negate()); }
        List<Object> dec = new ArrayList<>();
        for (String s : new String[] {"0", "1", "-1", "0.1", "-0.25", "100", "1E+3", "-12E+5", "123456789.123456789", "0.000001", "0.0000001", "1.5E-10", "-1.5E-300", "1E+400", "12345678901234567890.12345678901234567890", "0.00", "-0.001"})
            dec.add(new BigDecimal(s));
        List<Object> f = new ArrayList<>(List.of(0f, -0f, 1f, -1.5f, 0.1f, 3.4028235e38f, 1.4e-45f, 1e10f, 1e-7f, Float.NaN, Float.POSITIVE_INFINITY));
        List<Object> d = new ArrayList<>(List.of(0d, -0d, 1d, -1.5d, 0.1d, Math.PI, Double.MAX_VALUE, Double.MIN_VALUE, 1e21, 1e20, 1e-6, 1e-7, 123456789.125, Double.NaN, Double.NEGATIVE_INFINITY));
        Map<String, Object> all = new LinkedHashMap<>();
        all.put("int", ints); all.put("big", big); all.put("decimal", dec); all.put("float", f); all.put("double", d);
        return all;
    }

    static List<String> texts() {
        List<String> all = new ArrayList<>(List.of("", "\"\\/\b\f\n\r\t\u0001\u001f\u007f", "\u0000", "é", "\u20ac", "\ud83d\ude00", "<script>&", "\u2028"));
        for (int n : new int[] {1, 2, 31, 32, 33, 34, 55, 56, 57, 63, 64, 65, 66, 100, 200}) all.add("a".repeat(n));
        for (int n : new int[] {1, 2, 30, 31, 32, 33, 53, 54, 55, 56, 61, 62, 63, 64, 65, 100, 200}) { all.add("é" + "b".repeat(n)); all.add("b".repeat(n) + "\ud83d\ude00"); }
        return all;
    }

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]);
        var names = SmileGenerator.Feature.CHECK_SHARED_NAMES;
        var values = SmileGenerator.Feature.CHECK_SHARED_STRING_VALUES;
        var raw = SmileGenerator.Feature.ENCODE_BINARY_AS_7BIT;
        var end = SmileGenerator.Feature.WRITE_END_MARKER;

        write("numbers", numbers(), names);
        write("literals", java.util.Arrays.asList(null, true, false, "", List.of(), Map.of(), List.of(List.of(List.of(1))), Map.of("", Map.of("", ""))));
        write("scalar", "only a text", end);
        write("texts", List.of(texts(), texts()));
        write("texts-shared", List.of(texts(), texts()), values, end);

        Map<String, Object> byName = new LinkedHashMap<>();
        for (String s : texts()) byName.put(s, s.length());
        List<Object> twice = List.of(byName, byName, Map.of("z", byName));
        write("names", twice);
        write("names-shared", twice, names);
        write("names-values-shared", twice, names, values);

        List<Object> many = new ArrayList<>();
        for (int round = 0; round < 2; round++) {
            for (int i = 0; i < 1100 - 900 * round; i++) {
                Map<String, Object> m = new LinkedHashMap<>();
                m.put("name" + i, "value" + i);
                m.put("id", "v" + (i * 7 % 1500));
                m.put("same", "same");
                many.add(m);
            }
        }
        write("many", many, names, values);

        Map<String, Object> binary = new LinkedHashMap<>();
        for (int n = 0; n < 24; n++) {
            byte[] b = new byte[n];
            for (int i = 0; i < n; i++) b[i] = (byte) (255 - 37 * i);
            binary.put("b" + n, b);
        }
        write("binary", binary, names);
        write("binary-raw", binary, names, raw);
    }
}
